//! Ledger and refunds against a real `DynamoDB` API.

use aws_sdk_dynamodb::types::ConditionCheck;
use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::{
    aws::{emulator, refunds::Refunds},
    id::ClientId,
    ledger::{Amount, audit},
    refunds::{Decision, NothingPaid, Refund, RefundReason, RefundState, Wish},
    retailers::Mode,
};

const TABLE: &str = "ledger";
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

struct World {
    ledger: Ledger,
    refunds: Refunds,
    owner: Owner,
}

impl World {
    async fn new() -> Self {
        let config = emulator::config().await;
        let ledger = Ledger::new(&config, TABLE.to_owned());
        emulator::create_table(&ledger.db, TABLE, &[]).await;
        let client = ClientId::new(Uuid::new_v4());
        let refunds = Refunds::new(&config, TABLE.to_owned());
        Self { ledger, refunds, owner: Owner { client, mode: Mode::Test } }
    }

    async fn post(&self, posting: &Posting) -> Posted {
        self.ledger.post(&self.owner, "USD", posting).await.unwrap()
    }

    async fn deposit(&self, cents: u64) {
        assert_eq!(self.post(&deposit(cents)).await, Posted::New);
    }

    async fn place(&self, max_price: u64, paid: u64) -> OrderId {
        let order = order();
        let hold = Posting::hold(id(), NOW, order.clone(), Cents(max_price));
        assert_eq!(self.post(&hold).await, Posted::New);
        let capture = Posting::capture(id(), NOW, order.clone(), Cents(max_price), Cents(paid));
        assert_eq!(self.post(&capture).await, Posted::New);
        order
    }

    async fn request(&self, order: &OrderId, wish: &Wish) -> Result<Option<Refund>, NothingPaid> {
        self.refunds.request(&self.owner, order, wish, NOW).await.unwrap()
    }

    async fn grant(&self, refund: &Refund) -> Result<Posted, AwsError> {
        self.refunds.grant(&self.owner, refund, id(), NOW).await
    }

    /// `funded`, `available`, `held`, `spent`.
    async fn figures(&self) -> [i64; 4] {
        use LedgerAccount::{Available, Funded, Held, Spent};
        let balances = self.ledger.balances(&self.owner).await.unwrap();
        let usd = balances.iter().find(|(currency, _)| currency == "USD").unwrap().1;
        [Funded, Available, Held, Spent].map(|account| usd.of(account).0)
    }

    async fn assert_sound(&self) {
        let books = self.ledger.books(&self.owner).await.unwrap();
        assert_eq!(audit(&books), Vec::<String>::new());
    }
}

fn id() -> PostingId {
    PostingId::new(Uuid::now_v7())
}

fn order() -> OrderId {
    OrderId::new(Uuid::now_v7())
}

fn amount(cents: u64) -> Amount {
    Cents(cents).try_into().unwrap()
}

fn reference() -> Reference {
    Uuid::new_v4().to_string().parse().unwrap()
}

fn deposit(cents: u64) -> Posting {
    Posting::deposit(id(), NOW, reference(), amount(cents))
}

fn wish(reason: RefundReason) -> Wish {
    Wish { reason, note: "It broke.".to_owned(), merchant_order_id: None, amount: None }
}

fn granted(refund: Refund) -> Refund {
    let decision = Decision { at: NOW, note: String::new() };
    let all = refund.amount;
    refund.approved(None, all, decision).unwrap()
}

#[tokio::test]
async fn an_orders_money_moves_once_on_every_step() {
    let world = World::new().await;
    world.deposit(1000).await;
    let order = order();
    let hold = Posting::hold(id(), NOW, order.clone(), Cents(600));
    assert_eq!(world.post(&hold).await, Posted::New);
    assert_eq!(world.figures().await, [-1000, 400, 600, 0]);
    let again = Posting::hold(id(), NOW, order.clone(), Cents(100));
    assert_eq!(world.post(&again).await, Posted::Refused(LedgerRefusal::Repeated));

    // Only what is held, all of it, and in its currency.
    let capture = |held| Posting::capture(id(), NOW, order.clone(), Cents(held), Cents(450));
    assert_eq!(world.post(&capture(599)).await, Posted::Refused(LedgerRefusal::Repeated));
    let pounds = world.ledger.post(&world.owner, "GBP", &capture(600)).await.unwrap();
    assert_eq!(pounds, Posted::Refused(LedgerRefusal::Repeated));
    assert_eq!(world.figures().await, [-1000, 400, 600, 0]);

    assert_eq!(world.post(&capture(600)).await, Posted::New);
    assert_eq!(world.figures().await, [-1000, 550, 0, 450]);
    let release = Posting::release(id(), NOW, order.clone(), Cents(600));
    for late in [capture(600), release] {
        assert_eq!(world.post(&late).await, Posted::Refused(LedgerRefusal::Repeated));
    }
    let refund = |cents| Posting::refund(id(), NOW, order.clone(), Cents(cents));
    assert_eq!(world.post(&refund(451)).await, Posted::Refused(LedgerRefusal::Repeated));
    assert_eq!(world.post(&refund(450)).await, Posted::New);
    assert_eq!(world.figures().await, [-1000, 1000, 0, 0]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_released_hold_is_available_again_and_cannot_be_captured() {
    let world = World::new().await;
    world.deposit(1000).await;
    let order = order();
    assert_eq!(world.post(&Posting::hold(id(), NOW, order.clone(), Cents(600))).await, Posted::New);
    assert_eq!(
        world.post(&Posting::release(id(), NOW, order.clone(), Cents(600))).await,
        Posted::New
    );
    let capture = Posting::capture(id(), NOW, order, Cents(600), Cents(600));
    assert_eq!(world.post(&capture).await, Posted::Refused(LedgerRefusal::Repeated));
    assert_eq!(world.figures().await, [-1000, 1000, 0, 0]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_says_whether_there_is_a_balance_at_all() {
    let world = World::new().await;
    let hold = || Posting::hold(id(), NOW, order(), Cents(101));
    assert_eq!(world.post(&hold()).await, Posted::Refused(LedgerRefusal::NoBalance));
    world.deposit(100).await;
    let Posted::Refused(LedgerRefusal::TooLittle(balance)) = world.post(&hold()).await else {
        panic!("a hold of more than there is");
    };
    assert_eq!(balance.of(LedgerAccount::Available), SignedCents(100));
    let withdrawal = Posting::withdrawal(id(), NOW, reference(), amount(101));
    assert!(matches!(world.post(&withdrawal).await, Posted::Refused(LedgerRefusal::TooLittle(_))));
    let other = world.ledger.post(&world.owner, "GBP", &hold()).await.unwrap();
    assert_eq!(other, Posted::Refused(LedgerRefusal::NoBalance));
    world.assert_sound().await;
}

#[tokio::test]
async fn in_a_larger_transaction_it_can_be_told_whose_write_failed() {
    let world = World::new().await;
    world.deposit(100).await;
    let check = |condition: &str| {
        let check = ConditionCheck::builder()
            .table_name(TABLE)
            .set_key(Some(key([("pk", "other".to_owned()), ("sk", "other".to_owned())])))
            .condition_expression(condition);
        Write::check(check).unwrap()
    };
    let cancelled = async |condition, cents| {
        let mut writes = vec![check(condition)];
        let hold = Posting::hold(id(), NOW, order(), Cents(cents));
        writes.extend(world.ledger.writes(&world.owner, "USD", &hold).unwrap());
        let Err(NotWritten::Refused(refused)) = world.ledger.commit(writes).await else {
            panic!("it was written")
        };
        refused.after(1).and_then(|refused| refusal(&refused).unwrap())
    };
    assert_eq!(cancelled("attribute_exists(pk)", 100).await, None);
    assert!(matches!(
        cancelled("attribute_not_exists(pk)", 101).await,
        Some(LedgerRefusal::TooLittle(_))
    ));
    assert_eq!(world.figures().await, [-100, 100, 0, 0]);
}

#[tokio::test]
async fn a_payment_is_posted_once() {
    let world = World::new().await;
    let reference = reference();
    let deposit = || Posting::deposit(id(), NOW, reference.clone(), amount(100)).noting("wire");
    let first = deposit();
    assert_eq!(world.post(&first).await, Posted::New);
    assert_eq!(world.post(&deposit()).await, Posted::Refused(LedgerRefusal::Repeated));
    let found = world.ledger.referenced(&world.owner, &reference).await.unwrap();
    assert_eq!(found, Some(("USD".to_owned(), first)));
    assert_eq!(world.figures().await, [-100, 100, 0, 0]);
}

#[tokio::test]
async fn at_any_concurrency_nobody_overdraws_and_the_sum_is_zero() {
    let world = World::new().await;
    world.deposit(1000).await;
    let deposits = join_all((0..40).map(|_| world.deposit(10)));
    let holds = join_all((0..40).map(async |_| {
        let order = order();
        let hold = Posting::hold(id(), NOW, order.clone(), Cents(100));
        (order, world.post(&hold).await)
    }));
    let (_, holds) = futures::future::join(deposits, holds).await;
    let held: Vec<_> = holds.into_iter().filter(|(_, posted)| *posted == Posted::New).collect();
    // 10.00 from the start and up to 4.00 more: some were refused, none was taken from nothing.
    assert!((10..=14).contains(&held.len()), "{}", held.len());
    world.assert_sound().await;

    // Each hold is captured and released at once, twice: one of the four wins.
    let race = join_all(held.iter().map(async |(order, _)| {
        let capture = || Posting::capture(id(), NOW, order.clone(), Cents(100), Cents(70));
        let release = || Posting::release(id(), NOW, order.clone(), Cents(100));
        let tries = [capture(), release(), capture(), release()];
        let posted = join_all(tries.iter().map(|posting| world.post(posting))).await;
        posted.into_iter().filter(|posted| *posted == Posted::New).count()
    }));
    assert!(race.await.into_iter().all(|won| won == 1));
    let [funded, available, held, spent] = world.figures().await;
    assert_eq!((funded, held, available + spent), (-1400, 0, 1400));
    world.assert_sound().await;
}

#[tokio::test]
async fn postings_of_all_currencies_are_read_newest_first() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let posting = deposit(100 + number);
        let currency = if number % 3 == 0 { "GBP" } else { "USD" };
        world.ledger.post(&world.owner, currency, &posting).await.unwrap();
        ids.insert(0, posting.id().clone());
    }
    let read = async |currency: Option<&str>, count, offset| {
        let currency = currency.map(|text| text.parse().unwrap());
        let found = world.ledger.transactions(&world.owner, currency.as_ref(), count, offset);
        found.await.unwrap().into_iter().map(|(_, posting)| posting.id().clone()).collect()
    };
    let page: Vec<_> = read(None, 100, 0).await;
    assert_eq!(page, ids);
    let page: Vec<_> = read(None, 2, 3).await;
    assert_eq!(page, ids[3..5]);
    let page: Vec<_> = read(Some("GBP"), 100, 0).await;
    assert_eq!(page, [ids[2].clone(), ids[5].clone()]);
    let page: Vec<_> = read(Some("GBP"), 1, 1).await;
    assert_eq!(page, [ids[5].clone()]);
    let page: Vec<PostingId> = read(Some("MXN"), 100, 0).await;
    assert_eq!(page, []);
    let stranger = Owner { mode: Mode::Live, ..world.owner.clone() };
    assert_eq!(world.ledger.transactions(&stranger, None, 100, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_granted_refund_and_its_money_come_together_and_once() {
    let world = World::new().await;
    world.deposit(1000).await;
    let order = world.place(600, 450).await;
    let asked = world.request(&order, &wish(RefundReason::Other)).await.unwrap().unwrap();
    assert_eq!((asked.amount, asked.state.clone()), (Cents(450), RefundState::Requested));
    let again = world.request(&order, &wish(RefundReason::ReturnCompleted)).await;
    assert_eq!(again, Ok(Some(asked.clone())));

    let refund = granted(asked);
    let grants = join_all((0..4).map(|_| world.grant(&refund))).await;
    let won = grants.iter().filter(|grant| matches!(grant, Ok(Posted::New))).count();
    assert_eq!(won, 1, "{grants:?}");
    assert_eq!(world.figures().await, [-1000, 1000, 0, 0]);
    assert_eq!(world.refunds.get(&world.owner, &order).await.unwrap(), Some(refund.clone()));
    assert_eq!(world.refunds.list(&world.owner).await.unwrap(), vec![refund.clone()]);
    let after = world.request(&order, &wish(RefundReason::ReturnCompleted)).await;
    assert_eq!(after, Ok(Some(refund)), "there is nothing left to refund");
    world.assert_sound().await;
}

#[tokio::test]
async fn what_was_not_paid_from_the_balance_has_no_refund() {
    let world = World::new().await;
    let unknown = order();
    let wish = wish(RefundReason::CancellationSucceeded);
    assert_eq!(world.request(&unknown, &wish).await, Err(NothingPaid::NotFromBalance));
    let automatic = async |order| {
        let write = world.refunds.request_automatically(&world.owner, order, &wish, NOW);
        write.await.unwrap()
    };
    assert!(automatic(&unknown).await.is_none());
    world.deposit(1000).await;
    let order = world.place(600, 450).await;
    let write = automatic(&order).await.unwrap();
    assert!(world.ledger.commit(vec![write.clone()]).await.is_ok());
    let refund = world.refunds.get(&world.owner, &order).await.unwrap().unwrap();
    assert_eq!((refund.amount, refund.reason), (Cents(450), wish.reason));
    // It was written; the same write of a job that runs again fails, and asking again finds nothing to do.
    assert!(matches!(world.ledger.commit(vec![write]).await, Err(NotWritten::Refused(_))));
    assert!(automatic(&order).await.is_none());
}
