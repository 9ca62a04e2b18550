//! The accounts that buy: how each signs in, and how many of the orders are its.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::tests::ShopAccount;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, PATIENCE},
    clock,
    plan::Trouble,
    stack::Stack,
};

/// Before a shop that gave no answer is told again.
const PAUSE: Duration = Duration::from_millis(500);

/// How an account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its login is stored once.
    Managed,
    /// Its login comes with every order.
    Inline,
    /// It is mailed a code at every sign-in.
    Mailed,
    /// It has an authenticator, whose codes count once in half a minute.
    Totp,
}

impl Kind {
    /// The kind of account number `number`.
    pub(crate) const fn of(number: usize) -> Self {
        match number % 25 {
            8 => Self::Totp,
            4 | 13 | 22 => Self::Mailed,
            even if even % 2 == 0 => Self::Managed,
            _ => Self::Inline,
        }
    }

    /// How many orders such an account gets, compared with others: as fast as it can have them.
    const fn share(self) -> usize {
        match self {
            Self::Managed | Self::Inline => 40,
            Self::Mailed => 25,
            Self::Totp => 2,
        }
    }
}

/// How many of `orders` each of `accounts` accounts gets.
pub(crate) fn shares(orders: usize, accounts: usize) -> Vec<usize> {
    let shares: Vec<_> = (0..accounts).map(|number| Kind::of(number).share()).collect();
    let all: usize = shares.iter().sum::<usize>().max(1);
    let mut counts: Vec<_> = shares.iter().map(|share| orders * share / all).collect();
    let left = orders.saturating_sub(counts.iter().sum());
    let plain = (0..accounts).filter(|number| Kind::of(*number).share() == Kind::Inline.share());
    for number in plain.cycle().take(left) {
        if let Some(count) = counts.get_mut(number) {
            *count += 1;
        }
    }
    counts
}

/// An account at the shop, and how an order names it.
pub(crate) struct Account {
    /// Its place among all.
    pub(crate) number: usize,
    /// The account.
    pub(crate) shop: ShopAccount,
    login: (&'static str, Value),
    troubles: Mutex<Vec<Told>>,
}

/// That the shop was told to make trouble.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Which.
    pub(crate) trouble: Trouble,
    /// When.
    pub(crate) at_ms: i64,
}

impl Account {
    /// Opens account number `number`.
    pub(crate) async fn open(client: &Client, number: usize) -> Result<Self> {
        let kind = Kind::of(number);
        let shop = match kind {
            Kind::Totp => ShopAccount::with_totp().await,
            Kind::Managed | Kind::Inline | Kind::Mailed => ShopAccount::new().await,
        };
        let login = match kind {
            Kind::Inline | Kind::Totp => ("retailer_credentials", shop.credentials()),
            Kind::Managed | Kind::Mailed => {
                let body =
                    json!({"email": shop.email, "password": shop.password, "retailer": "amazon"});
                let (stored, _) = client.post("/managed-accounts", Some(&body)).await?;
                let text = |name: &str| stored.get(name).and_then(Value::as_str);
                if kind == Kind::Mailed {
                    shop.mails_codes(text("forwarding_email").context("no mailbox")?).await;
                }
                ("retailer_credentials_id", text("short_id").context("no account")?.into())
            }
        };
        Ok(Self { number, shop, login, troubles: Mutex::default() })
    }

    /// Tells the shop to make trouble, until it has heard. It may have heard although nobody answered, so each time that
    /// it was reached is noted.
    pub(crate) async fn make(&self, trouble: Trouble, stack: &Stack) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = Told { trouble, at_ms: clock::now_ms() };
            let behaviour = trouble.behaviour();
            let heard = stack.behave(&self.shop.email, trouble.step(), &behaviour).await;
            if !heard.as_ref().is_err_and(is_unreached) {
                self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            }
            if heard.is_ok() || Instant::now() > deadline {
                return heard.with_context(|| format!("the shop was told {trouble:?} in vain"));
            }
            sleep(PAUSE).await;
        }
    }

    /// All that the shop was told.
    pub(crate) fn troubles(&self) -> Vec<Told> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An order of it.
    pub(crate) fn order(&self, reference: &str, max_price: u64, webhook: &str) -> Value {
        let mut body = json!({
            "idempotency_key": reference,
            "retailer": "amazon",
            "products": [{"product_id": "B0016NHH56", "quantity": 1}],
            "max_price": max_price,
            "shipping_address": ::tests::address(),
            "shipping_method": "cheapest",
            "payment_method": {"use_gift": true},
            "webhooks": {"request_succeeded": webhook, "request_failed": webhook},
        });
        if let Some(name) = body.pointer_mut("/shipping_address/first_name") {
            *name = reference.into();
        }
        if let Value::Object(members) = &mut body {
            members.insert(self.login.0.to_owned(), self.login.1.clone());
        }
        body
    }
}

/// Whether a request certainly reached nobody.
fn is_unreached(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn where_nobody_listens_nobody_is_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let get = async || ::tests::http().get(&url).send().await.unwrap_err().into();
        let hang_up = async { drop(listener.accept().await.unwrap()) };
        let (cut, ()) = tokio::join!(get(), hang_up);
        assert!(!is_unreached(&cut));
        drop(listener);
        assert!(is_unreached(&get().await));
    }

    #[test]
    fn every_order_is_somebodys() {
        for (orders, accounts) in [(10_000, 50), (150, 10), (7, 3), (0, 1)] {
            assert_eq!(shares(orders, accounts).iter().sum::<usize>(), orders);
        }
        let of_fifty = shares(10_000, 50);
        // What an account may be asked for in half an hour.
        assert!(of_fifty.iter().all(|count| *count < 250), "{of_fifty:?}");
        assert!(of_fifty[8] <= 12, "{of_fifty:?}");
    }
}
