//! Clients: what they want, and how they go on when something goes wrong.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use rand::Rng;
use serde_json::{Value, json};
use spelter::accounts::Owner;
use tokio::time::{Duration, sleep};

use crate::{
    aws::sqs::JOBS,
    balance, bury,
    platform::{self, Call, Deployment},
    run::{Load, owner},
    shop, world,
};

/// An order that a client wants, and what it heard of it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What tells it from all others, in the address it goes to.
    pub reference: String,
    /// The ids it was accepted under.
    pub accepted: Vec<String>,
    /// Whether there must be no such order: its client was told no, or its key belongs to another.
    pub is_refused: bool,
    /// Whether a client was told that it was called off.
    pub is_called_off: bool,
    /// The ids under which it was accepted that what was bought is to be cancelled.
    pub cancellations: Vec<String>,
    /// Whose it is.
    pub owner: Option<Owner>,
}

impl Wanted {
    /// Takes in those cancellations of its orders, out of `all`, whose acceptance nobody was told.
    pub fn learn_of(&mut self, all: &BTreeMap<String, Vec<String>>) {
        for id in self.accepted.iter().filter_map(|order| all.get(order)).flatten() {
            if !self.cancellations.contains(id) {
                self.cancellations.push(id.clone());
            }
        }
    }
}

/// Where clients are told.
const HOOK: &str = "https://receiver.example.com/hook";

/// A client asks again so often.
const TRIES: u32 = 7;

/// Has all of `load` bought, as far as clients have a say in it.
pub async fn buy(load: Load, deployment: &Deployment) -> Result<Vec<Wanted>> {
    let mut buyers = Vec::new();
    for number in 0..load.accounts {
        let mails_codes = load.mails_codes && (number % 5 == 3 || load.accounts == 1);
        buyers.push(Buyer::open(number, mails_codes).await?);
    }
    if load.has_balance {
        // Enough for half of what is wanted.
        let wanted = u64::try_from(load.orders / buyers.len())?;
        balance::deposit(deployment, wanted.div_ceil(2) * shop::COST + MAX_PRICE - shop::COST)
            .await?;
        let last = buyers.len() - 1;
        buyers[last] = Buyer::prepaid().await?;
    }
    let span = load.span()?;
    world::with(|world| {
        world.queues.named(JOBS).loses = load.forgotten;
        world.is_calm = false;
    });
    if load.buries {
        tokio::task::spawn_local(bury::now_and_then(deployment.table("OrdersTable")?));
    }
    let orders = (0..load.orders).map(|number| {
        let buyer = &buyers[number % buyers.len()];
        let starts_at = world::with(|world| world.rng.random_range(0..span));
        async move {
            sleep(Duration::from_millis(starts_at)).await;
            order(number, buyer, load.whims).await
        }
    });
    Ok(join_all(orders).await.into_iter().flatten().collect())
}

/// What an order may cost.
const MAX_PRICE: u64 = 2_300;

/// Who buys.
pub struct Buyer {
    /// Whose orders they are.
    pub owner: Owner,
    /// The account.
    pub email: String,
    login: (&'static str, Value),
}

impl Buyer {
    /// Opens account `number` at the shop.
    pub async fn open(number: usize, mails_codes: bool) -> Result<Self> {
        let email = format!("buyer{number}@example.com");
        world::with(|world| world.shop.open(&email, mails_codes));
        let login = json!({"email": email, "password": "secret"});
        if !mails_codes {
            return Ok(Self { owner: owner(), email, login: ("retailer_credentials", login) });
        }
        let body = Self::stored(&owner(), &email).await?;
        let mailbox = body["forwarding_email"].as_str().context("no mailbox")?.to_owned();
        world::with(|world| world.mailboxes.insert(email.clone(), mailbox));
        let login = ("retailer_credentials_id", body["short_id"].clone());
        Ok(Self { owner: owner(), email, login })
    }

    /// A client that has paid in.
    async fn prepaid() -> Result<Self> {
        world::with(|world| world.shop.open(balance::OPERATORS_EMAIL, false));
        Self::stored(&balance::the_operator(), balance::OPERATORS_EMAIL).await?;
        let email = balance::OPERATORS_EMAIL.to_owned();
        Ok(Self { owner: balance::client(), email, login: ("addax", json!(true)) })
    }

    /// A managed account.
    async fn stored(owner: &Owner, email: &str) -> Result<Value> {
        let body = json!({"email": email, "password": "secret", "retailer": "amazon"});
        let opened = platform::look(owner, Call::OpenAccount(&body)).await;
        let (status, body) = opened.context("no account was opened")?;
        ensure!(status == 201, "an account was not opened: {body}");
        Ok(body)
    }
}

fn body(reference: &str, product: &str, key: Option<&str>, buyer: &Buyer) -> Value {
    let mut body = json!({
        "retailer": "amazon",
        "products": [{"product_id": product, "quantity": 1}],
        "max_price": MAX_PRICE,
        "shipping_address": {
            "first_name": reference,
            "last_name": "Beaver",
            "address_line1": "77 Massachusetts Avenue",
            "zip_code": "02139",
            "city": "Cambridge",
            "state": "MA",
            "country": "US",
            "phone_number": "5551230101",
        },
        "shipping_method": "cheapest",
        "payment_method": {"use_gift": true},
        "webhooks": {"request_succeeded": HOOK, "request_failed": HOOK},
    });
    body[buyer.login.0] = buyer.login.1.clone();
    if buyer.login.0 == "addax" {
        body.as_object_mut().expect("an object").remove("payment_method");
    }
    if let Some(key) = key {
        body["idempotency_key"] = json!(key);
    }
    body
}

/// Which whims clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whims {
    /// All have this one.
    All(Whim),
    /// Any.
    Any,
    /// They just order.
    None,
}

/// What a client may do besides ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whim {
    /// Nothing.
    None,
    /// Calls it off.
    CallOff,
    /// Has it cancelled once it was bought.
    Cancel,
    /// Asks twice at the same time.
    Twice,
    /// Uses the key for another order.
    Reuse,
    /// Has no key, and so asks only once.
    NoKey,
}

impl Whim {
    /// A whim for a chance below 20.
    const fn of(chance: u32) -> Self {
        match chance {
            0 | 1 => Self::CallOff,
            2 => Self::Twice,
            3 => Self::Reuse,
            4 => Self::NoKey,
            5 | 6 => Self::Cancel,
            _ => Self::None,
        }
    }
}

/// Orders, as order `number` of the run; with a whim perhaps more than once.
pub async fn order(number: usize, buyer: &Buyer, whims: Whims) -> Vec<Wanted> {
    let (owner, reference) = (&buyer.owner, format!("R{number}"));
    let (whim, product) = world::with(|world| {
        let whim = match (whims, world.rng.random_range(0..20)) {
            (Whims::All(whim), _) => whim,
            (Whims::Any, chance) => Whim::of(chance),
            (Whims::None, _) => Whim::None,
        };
        let is_sold_out = whims == Whims::Any && world.rng.random_ratio(1, 25);
        (whim, if is_sold_out { shop::SOLD_OUT } else { "GOODS" })
    });
    let key = format!("key-{number}");
    let key = Some(key.as_str()).filter(|_| whim != Whim::NoKey);
    let body_of = |reference: &str| body(reference, product, key, buyer);
    let wanted = body_of(&reference);
    let tries = if key.is_some() { TRIES } else { 1 };
    let wanted_by =
        |reference: String| Wanted { reference, owner: Some(owner.clone()), ..Wanted::default() };
    let mut all = vec![wanted_by(reference.clone())];
    let heard = if whim == Whim::Twice {
        let (one, other) = futures::join!(post(owner, &wanted, tries), post(owner, &wanted, tries));
        vec![one, other]
    } else {
        vec![post(owner, &wanted, tries).await]
    };
    all[0].is_refused = heard.iter().all(|heard| *heard == Heard::No);
    all[0].accepted = heard.into_iter().filter_map(Heard::id).collect();
    match (whim, all[0].accepted.first().cloned()) {
        (Whim::CallOff, Some(id)) => {
            // Alone an order is bought after two seconds; among others it waits for them.
            let longest = if whims == Whims::Any { 15_000 } else { 2_000 };
            sleep(world::a_while(0, longest)).await;
            let answer = platform::api(owner, Call::Abort(&id)).await;
            all[0].is_called_off =
                answer.is_some_and(|(_, body)| body["code"] == "aborted_request");
        }
        (Whim::Cancel, Some(id)) => all[0].cancellations = cancel(owner, &id).await,
        (Whim::Reuse, Some(_)) => {
            sleep(world::a_while(0, 5_000)).await;
            let reference = format!("{reference}X");
            let heard = post(owner, &body_of(&reference), 1).await;
            let accepted = heard.id().into_iter().collect();
            all.push(Wanted { accepted, is_refused: true, ..wanted_by(reference) });
        }
        _ => {}
    }
    all
}

/// Has an order cancelled once it is bought, and asks again while nobody says yes or no. The ids under which that was
/// accepted, as far as that was answered: whoever asks twice has two.
async fn cancel(owner: &Owner, id: &str) -> Vec<String> {
    let mut accepted = Vec::new();
    if !is_bought(owner, id).await {
        return accepted;
    }
    let body = json!({"webhooks": {"request_succeeded": HOOK, "request_failed": HOOK}});
    for attempt in 0..TRIES {
        let call = Call::Cancel { order: id, body: &body };
        let (was_heard, answer) = platform::asked(owner, call).await;
        if let Some((200, body)) = &answer {
            accepted.extend(body["request_id"].as_str().map(str::to_owned));
        }
        match answer.filter(|_| was_heard) {
            Some((status, _)) if status < 500 && !matches!(status, 409 | 429) => break,
            _ => sleep(Duration::from_secs(1 << attempt)).await,
        }
    }
    accepted
}

/// Looks now and then how an order is, for a quarter of an hour.
async fn is_bought(owner: &Owner, id: &str) -> bool {
    for _ in 0..60 {
        sleep(Duration::from_secs(15)).await;
        let Some((200, body)) = platform::look(owner, Call::Get(id)).await else { continue };
        if body["code"] != "request_processing" {
            return body["_type"] == "order_response";
        }
    }
    false
}

/// What a client hears of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    /// It was accepted under this id.
    Yes(String),
    /// It was not.
    No,
    /// Neither.
    Nothing,
}

impl Heard {
    /// The id it was accepted under.
    fn id(self) -> Option<String> {
        match self {
            Self::Yes(id) => Some(id),
            Self::No | Self::Nothing => None,
        }
    }
}

/// Orders, again and again while nobody says yes or no.
async fn post(owner: &Owner, body: &Value, tries: u32) -> Heard {
    for attempt in 0..tries {
        match platform::api(owner, Call::Create(body)).await {
            Some((200, body)) => {
                return Heard::Yes(body["request_id"].as_str().unwrap_or_default().to_owned());
            }
            Some((400..=408 | 410..=428 | 430..500, _)) => return Heard::No,
            _ => sleep(Duration::from_secs(1 << attempt)).await,
        }
    }
    Heard::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_that_nobody_was_told_of_is_found_by_its_order() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let (accepted, cancellations) = (ids(&["1"]), ids(&["c"]));
        let mut wanted = Wanted { accepted, cancellations, ..Wanted::default() };
        let of = |order: &str, cancellations| (order.to_owned(), ids(cancellations));
        wanted.learn_of(&BTreeMap::from([of("1", &["b", "c"]), of("2", &["d"])]));
        assert_eq!(wanted.cancellations, ids(&["c", "b"]));
    }
}
