//! The prepaid balance of a client, kept by double entry: every posting moves money between four accounts and adds up
//! to zero, so money can be misplaced but never made or lost.
//!
//! There is one such set of accounts for each owner and currency:
//!
//! | account | what it holds |
//! |---|---|
//! | `funded` | what came from outside, as a negative amount |
//! | `available` | what new orders may take |
//! | `held` | what open orders have taken and not spent yet |
//! | `spent` | what placed orders cost, less refunds |

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    fields::Unfit,
    id::{OrderId, PostingId},
    money::Cents,
    retailers::RetailerCode,
};

/// An amount in cents that may be owed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SignedCents(pub i64);

impl SignedCents {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// The largest amount there is, should it not fit: nobody has that much, so a hold of it is refused.
impl From<Cents> for SignedCents {
    fn from(cents: Cents) -> Self {
        Self(i64::try_from(cents.0).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for SignedCents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Cents(self.0.unsigned_abs()))
    }
}

/// An amount an operator may pay in or out: at least one cent, at most 10 billion dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(Cents);

const MAX_AMOUNT: Cents = Cents(1_000_000_000_000);

impl Amount {
    /// The amount in cents.
    pub const fn cents(self) -> Cents {
        self.0
    }
}

impl TryFrom<Cents> for Amount {
    type Error = Unfit;

    fn try_from(cents: Cents) -> Result<Self, Unfit> {
        if (Cents(1)..=MAX_AMOUNT).contains(&cents) {
            Ok(Self(cents))
        } else {
            Err(Unfit(format!("must be from 1 to {} cents", MAX_AMOUNT.0)))
        }
    }
}

/// A currency by its ISO 4217 code, such as `USD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// Three capital letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        if text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Unfit("must be three capital letters, such as USD".to_owned()))
        }
    }
}

/// The currency a retailer's prices are in, and so the balance that pays for its orders.
pub const fn currency_of(retailer: RetailerCode) -> &'static str {
    match retailer {
        RetailerCode::AmazonUk => "GBP",
        RetailerCode::AmazonCa => "CAD",
        RetailerCode::AmazonMx => "MXN",
        RetailerCode::Aliexpress
        | RetailerCode::Amazon
        | RetailerCode::Costco
        | RetailerCode::Walmart => "USD",
    }
}

/// What a payment is called outside, such as the bank's reference. It makes posting it twice one posting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

const MAX_REFERENCE_CHARS: usize = 200;

impl Reference {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let chars = text.chars().count();
        if text.trim().is_empty() || chars > MAX_REFERENCE_CHARS {
            return Err(Unfit(format!("must have from 1 to {MAX_REFERENCE_CHARS} characters")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What an order takes from the balance until it is known what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How much: the order's `max_price`.
    pub amount: Cents,
    /// ISO 4217.
    pub currency: String,
}

/// One of the four accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerAccount {
    /// What came from outside, as a negative amount.
    Funded,
    /// What new orders may take.
    Available,
    /// What open orders have taken.
    Held,
    /// What placed orders cost.
    Spent,
}

impl LedgerAccount {
    /// The account as it is stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Funded => "funded",
            Self::Available => "available",
            Self::Held => "held",
            Self::Spent => "spent",
        }
    }
}

/// Figures that do not add up to zero.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the figures add up to {0} cents, not to zero")]
pub struct Unbalanced(i128);

/// Why money moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PostingKind {
    /// The client paid in: `funded` to `available`.
    Deposit {
        /// The payment.
        reference: Reference,
    },
    /// The client was paid out: `available` to `funded`.
    Withdrawal {
        /// The payment.
        reference: Reference,
    },
    /// An order was accepted: `available` to `held`.
    Hold {
        /// Which.
        order: OrderId,
    },
    /// It was placed: `held` to `spent`, and what is left of it back to `available`.
    Capture {
        /// Which.
        order: OrderId,
    },
    /// It was not placed: `held` to `available`.
    Release {
        /// Which.
        order: OrderId,
    },
    /// It was reversed after it was placed: `spent` to `available`.
    Refund {
        /// Which.
        order: OrderId,
    },
}

impl PostingKind {
    /// The word for it in answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "deposit",
            Self::Withdrawal { .. } => "withdrawal",
            Self::Hold { .. } => "hold",
            Self::Capture { .. } => "capture",
            Self::Release { .. } => "release",
            Self::Refund { .. } => "refund",
        }
    }

    /// The order it is about.
    pub const fn order(&self) -> Option<&OrderId> {
        match self {
            Self::Deposit { .. } | Self::Withdrawal { .. } => None,
            Self::Hold { order }
            | Self::Capture { order }
            | Self::Release { order }
            | Self::Refund { order } => Some(order),
        }
    }
}

/// One movement of money. It is never changed; a mistake is put right by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    id: PostingId,
    kind: PostingKind,
    entries: Vec<(LedgerAccount, SignedCents)>,
    at: Timestamp,
    note: String,
}

impl Posting {
    /// The client paid `amount` in.
    pub fn deposit(id: PostingId, at: Timestamp, reference: Reference, amount: Amount) -> Self {
        let kind = PostingKind::Deposit { reference };
        Self::moving(id, at, kind, LedgerAccount::Funded, LedgerAccount::Available, amount.cents())
    }

    /// The client was paid `amount` out. Needs that much to be available.
    pub fn withdrawal(id: PostingId, at: Timestamp, reference: Reference, amount: Amount) -> Self {
        let kind = PostingKind::Withdrawal { reference };
        Self::moving(id, at, kind, LedgerAccount::Available, LedgerAccount::Funded, amount.cents())
    }

    /// `order` was accepted and may cost up to `amount`. Needs that much to be available.
    pub fn hold(id: PostingId, at: Timestamp, order: OrderId, amount: Cents) -> Self {
        let kind = PostingKind::Hold { order };
        Self::moving(id, at, kind, LedgerAccount::Available, LedgerAccount::Held, amount)
    }

    /// `order`, for which `held` was held, was placed for `paid`.
    ///
    /// What is left goes back to `available`. Should `paid` exceed `held`, which `max_price` forbids, the rest is taken
    /// from `available` even if that becomes negative: the money is gone, and books that deny it would be wrong. New
    /// holds are refused until a deposit makes up for it.
    pub fn capture(id: PostingId, at: Timestamp, order: OrderId, held: Cents, paid: Cents) -> Self {
        let (held, paid) = (SignedCents::from(held), SignedCents::from(paid));
        // Both are from zero to the largest number, so the difference fits.
        let left = SignedCents(held.0.saturating_sub(paid.0));
        let entries = vec![
            (LedgerAccount::Held, held.negated()),
            (LedgerAccount::Spent, paid),
            (LedgerAccount::Available, left),
        ];
        Self { id, kind: PostingKind::Capture { order }, entries, at, note: String::new() }
    }

    /// `order`, for which `held` was held, was not placed.
    pub fn release(id: PostingId, at: Timestamp, order: OrderId, held: Cents) -> Self {
        let kind = PostingKind::Release { order };
        Self::moving(id, at, kind, LedgerAccount::Held, LedgerAccount::Available, held)
    }

    /// `amount` of what `order` cost comes back.
    pub fn refund(id: PostingId, at: Timestamp, order: OrderId, amount: Cents) -> Self {
        let kind = PostingKind::Refund { order };
        Self::moving(id, at, kind, LedgerAccount::Spent, LedgerAccount::Available, amount)
    }

    /// A posting as it was stored.
    pub fn stored(
        id: PostingId,
        at: Timestamp,
        kind: PostingKind,
        entries: Vec<(LedgerAccount, SignedCents)>,
        note: String,
    ) -> Result<Self, Unbalanced> {
        must_be_zero(entries.iter().map(|(_, amount)| *amount))?;
        Ok(Self { id, kind, entries, at, note })
    }

    fn moving(
        id: PostingId,
        at: Timestamp,
        kind: PostingKind,
        from: LedgerAccount,
        to: LedgerAccount,
        amount: Cents,
    ) -> Self {
        let amount = SignedCents::from(amount);
        let entries = vec![(from, amount.negated()), (to, amount)];
        Self { id, kind, entries, at, note: String::new() }
    }

    /// The same with a remark, which the client can read.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Its id; later postings have greater ones.
    pub const fn id(&self) -> &PostingId {
        &self.id
    }

    /// Why money moved.
    pub const fn kind(&self) -> &PostingKind {
        &self.kind
    }

    /// What it adds to which account; zero in sum.
    pub fn entries(&self) -> &[(LedgerAccount, SignedCents)] {
        &self.entries
    }

    /// When.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// A remark, or nothing.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// What it adds to `account`.
    pub fn change(&self, account: LedgerAccount) -> SignedCents {
        let own = self.entries.iter().find(|(entry, _)| *entry == account);
        own.map_or(SignedCents::ZERO, |(_, amount)| *amount)
    }

    /// What it adds to the client's balance: `available` and `held` together.
    pub fn balance_change(&self) -> SignedCents {
        let (available, held) =
            (self.change(LedgerAccount::Available), self.change(LedgerAccount::Held));
        SignedCents(available.0.saturating_add(held.0))
    }

    /// How much must be available for it; `None` for what is posted in any case.
    pub fn needs(&self) -> Option<SignedCents> {
        match &self.kind {
            PostingKind::Hold { .. } | PostingKind::Withdrawal { .. } => {
                Some(self.change(LedgerAccount::Available).negated())
            }
            PostingKind::Deposit { .. }
            | PostingKind::Capture { .. }
            | PostingKind::Release { .. }
            | PostingKind::Refund { .. } => None,
        }
    }
}

/// What stands on the four accounts; zero in sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    funded: SignedCents,
    available: SignedCents,
    held: SignedCents,
    spent: SignedCents,
}

impl Balance {
    /// A balance as it was stored.
    pub fn stored(
        funded: SignedCents,
        available: SignedCents,
        held: SignedCents,
        spent: SignedCents,
    ) -> Result<Self, Unbalanced> {
        must_be_zero([funded, available, held, spent].into_iter())?;
        Ok(Self { funded, available, held, spent })
    }

    /// The balance after `posting`; `None` if a figure does not fit.
    pub fn after(self, posting: &Posting) -> Option<Self> {
        let plus = |figure: SignedCents, account| {
            figure.0.checked_add(posting.change(account).0).map(SignedCents)
        };
        Some(Self {
            funded: plus(self.funded, LedgerAccount::Funded)?,
            available: plus(self.available, LedgerAccount::Available)?,
            held: plus(self.held, LedgerAccount::Held)?,
            spent: plus(self.spent, LedgerAccount::Spent)?,
        })
    }

    /// What stands on `account`.
    pub const fn of(&self, account: LedgerAccount) -> SignedCents {
        match account {
            LedgerAccount::Funded => self.funded,
            LedgerAccount::Available => self.available,
            LedgerAccount::Held => self.held,
            LedgerAccount::Spent => self.spent,
        }
    }

    /// What the client still has: `available` and `held`.
    pub const fn total(&self) -> SignedCents {
        SignedCents(self.available.0.saturating_add(self.held.0))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { funded, available, held, spent } = self;
        write!(f, "available {available}, held {held}, spent {spent}, funded {funded}")
    }
}

fn must_be_zero(figures: impl Iterator<Item = SignedCents>) -> Result<(), Unbalanced> {
    match figures.map(|figure| i128::from(figure.0)).sum() {
        0 => Ok(()),
        sum => Err(Unbalanced(sum)),
    }
}

/// What one order has done to the balance: it takes money once, and gives it up or spends it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFunds {
    /// Which order.
    pub order: OrderId,
    /// ISO 4217.
    pub currency: String,
    /// What was held for it.
    pub held: Cents,
    /// What became of that.
    pub state: FundsState,
}

/// Where an order's money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FundsState {
    /// Held.
    Held,
    /// Spent.
    Captured {
        /// What the order cost.
        paid: Cents,
        /// How much of that was not refunded yet.
        refundable: Cents,
    },
    /// Back with the client.
    Released,
}

/// All that is written down about one owner's money.
#[derive(Debug, Default)]
pub struct Books {
    /// Per currency: the balance, and how many postings made it.
    pub balances: BTreeMap<String, (Balance, u64)>,
    /// With their currencies.
    pub postings: Vec<(String, Posting)>,
    /// What every order did.
    pub orders: Vec<OrderFunds>,
}

/// What does not agree in `books`, in words; nothing if all does. That every posting adds up to zero was seen when it
/// was read.
pub fn audit(books: &Books) -> Vec<String> {
    let mut made: BTreeMap<&str, (Balance, u64)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (currency, posting) in &books.postings {
        let (balance, count) = made.entry(currency.as_str()).or_default();
        match balance.after(posting) {
            Some(after) => *balance = after,
            None => findings.push(format!("{currency}: {} is out of range", posting.id())),
        }
        *count = count.saturating_add(1);
    }
    for (currency, (balance, count)) in &books.balances {
        let (postings, number) = made.remove(currency.as_str()).unwrap_or_default();
        if (postings, number) != (*balance, *count) {
            findings.push(format!(
                "{currency}: {number} postings make {postings}; the balance of {count} postings is {balance}"
            ));
        }
        let orders = || books.orders.iter().filter(|funds| funds.currency == *currency);
        let held = orders().map(|funds| match funds.state {
            FundsState::Held => funds.held,
            FundsState::Captured { .. } | FundsState::Released => Cents::ZERO,
        });
        let spent = orders().map(|funds| match funds.state {
            FundsState::Captured { refundable, .. } => refundable,
            FundsState::Held | FundsState::Released => Cents::ZERO,
        });
        let (held, spent): (Cents, Cents) = (held.sum(), spent.sum());
        for (account, orders) in [(LedgerAccount::Held, held), (LedgerAccount::Spent, spent)] {
            let figure = balance.of(account);
            if figure != SignedCents::from(orders) {
                let name = account.as_str();
                findings.push(format!("{currency}: {name} is {figure}; its orders make {orders}"));
            }
        }
    }
    for currency in made.keys() {
        findings.push(format!("{currency}: there are postings and no balance"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id() -> PostingId {
        PostingId::new(Uuid::now_v7())
    }

    fn order(number: usize) -> OrderId {
        OrderId::new(Uuid::from_u128(u128::try_from(number).unwrap()))
    }

    fn reference() -> Reference {
        "wire 7".parse().unwrap()
    }

    fn amount(cents: u64) -> Amount {
        Cents(cents).try_into().unwrap()
    }

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    /// What a client and its orders do next: which kind, for which order, how much.
    fn steps() -> impl Strategy<Value = Vec<(u8, usize, u64)>> {
        proptest::collection::vec((0..6_u8, 0..8_usize, 1..5_000_u64), 0..60)
    }

    /// Plays `steps` as the store does: what needs more than is available is refused, and an order's money moves as
    /// [`FundsState`] allows.
    fn play(steps: Vec<(u8, usize, u64)>) -> (Books, Balance) {
        let mut orders: BTreeMap<usize, OrderFunds> = BTreeMap::new();
        let (mut balance, mut books) = (Balance::default(), Books::default());
        for (kind, number, cents) in steps {
            let funds = orders.get(&number).cloned();
            let state = funds.as_ref().map(|funds| funds.state);
            let held = funds.as_ref().map_or(Cents(cents), |funds| funds.held);
            let paid = Cents(cents.min(held.0));
            let (posting, state) = match (kind, state) {
                (0, _) => (Posting::deposit(id(), AT, reference(), amount(cents)), state),
                (1, _) => (Posting::withdrawal(id(), AT, reference(), amount(cents)), state),
                (2, None) => {
                    let posting = Posting::hold(id(), AT, order(number), held);
                    (posting, Some(FundsState::Held))
                }
                (3, Some(FundsState::Held)) => {
                    let posting = Posting::capture(id(), AT, order(number), held, paid);
                    (posting, Some(FundsState::Captured { paid, refundable: paid }))
                }
                (4, Some(FundsState::Held)) => {
                    let posting = Posting::release(id(), AT, order(number), held);
                    (posting, Some(FundsState::Released))
                }
                (5, Some(FundsState::Captured { paid, refundable })) => {
                    let back = Cents(cents.min(refundable.0));
                    let refundable = Cents(refundable.0 - back.0);
                    let posting = Posting::refund(id(), AT, order(number), back);
                    (posting, Some(FundsState::Captured { paid, refundable }))
                }
                _ => continue,
            };
            if posting.needs().is_some_and(|needs| needs > balance.of(LedgerAccount::Available)) {
                continue;
            }
            if let Some(state) = state {
                let order = order(number);
                let funds = OrderFunds { order, currency: "USD".to_owned(), held, state };
                orders.insert(number, funds);
            }
            balance = balance.after(&posting).unwrap();
            books.postings.push(("USD".to_owned(), posting));
        }
        books.orders = orders.into_values().collect();
        if !books.postings.is_empty() {
            let count = u64::try_from(books.postings.len()).unwrap();
            books.balances.insert("USD".to_owned(), (balance, count));
        }
        (books, balance)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_sum_is_zero_and_nobody_overdraws(steps in steps()) {
            let (books, balance) = play(steps);
            for (_, posting) in &books.postings {
                prop_assert_eq!(posting.entries().iter().map(|(_, amount)| amount.0).sum::<i64>(), 0);
            }
            let Balance { funded, available, held, spent } = balance;
            prop_assert_eq!(funded.0 + available.0 + held.0 + spent.0, 0);
            prop_assert!(available.0 >= 0 && held.0 >= 0 && spent.0 >= 0 && funded.0 <= 0);
            prop_assert_eq!(audit(&books), Vec::<String>::new());
        }

        #[test]
        fn an_audit_notices_any_posting_that_is_missing(steps in steps(), which: usize) {
            let (mut books, _) = play(steps);
            prop_assume!(!books.postings.is_empty());
            let which = which % books.postings.len();
            books.postings.remove(which);
            prop_assert_ne!(audit(&books), Vec::<String>::new());
        }

        #[test]
        fn amounts_of_any_size_balance(held: u64, paid: u64) {
            let postings = [
                Posting::hold(id(), AT, order(1), Cents(held)),
                Posting::capture(id(), AT, order(1), Cents(held), Cents(paid)),
                Posting::release(id(), AT, order(1), Cents(held)),
                Posting::refund(id(), AT, order(1), Cents(paid)),
            ];
            for posting in postings {
                let (kind, entries) = (posting.kind().clone(), posting.entries().to_vec());
                prop_assert!(Posting::stored(id(), AT, kind, entries, String::new()).is_ok());
            }
        }
    }

    #[test]
    fn what_cost_more_than_was_held_is_taken_from_what_is_available() {
        let capture = Posting::capture(id(), AT, order(1), Cents(100), Cents(130));
        assert_eq!(capture.change(LedgerAccount::Available), SignedCents(-30));
        assert_eq!(capture.balance_change(), SignedCents(-130));
        assert_eq!(capture.needs(), None);
    }

    #[test]
    fn the_balance_changes_when_money_comes_or_goes_and_not_while_it_is_held() {
        let changes = [
            Posting::deposit(id(), AT, reference(), amount(500)),
            Posting::hold(id(), AT, order(1), Cents(300)),
            Posting::capture(id(), AT, order(1), Cents(300), Cents(250)),
            Posting::refund(id(), AT, order(1), Cents(50)),
            Posting::withdrawal(id(), AT, reference(), amount(10)),
        ]
        .map(|posting| (posting.kind().as_str(), posting.balance_change().0));
        assert_eq!(
            changes,
            [("deposit", 500), ("hold", 0), ("capture", -250), ("refund", 50), ("withdrawal", -10)]
        );
    }

    #[test]
    fn figures_that_make_or_lose_money_are_not_read() {
        let [zero, one] = [SignedCents::ZERO, SignedCents(1)];
        assert_eq!(Balance::stored(zero, one, zero, zero), Err(Unbalanced(1)));
        let kind = PostingKind::Hold { order: order(1) };
        let entries = vec![(LedgerAccount::Held, one)];
        assert_eq!(Posting::stored(id(), AT, kind, entries, String::new()), Err(Unbalanced(1)));
    }

    #[test]
    fn an_audit_says_which_account_is_wrong() {
        let (mut books, _) = play(vec![(0, 0, 1000), (2, 1, 300)]);
        books.orders.clear();
        assert_eq!(audit(&books), ["USD: held is 3.00; its orders make 0.00"]);
        books.balances.clear();
        assert_eq!(audit(&books), ["USD: there are postings and no balance"]);
    }

    #[test]
    fn amounts_references_and_currencies_are_bounded() {
        for cents in [0, MAX_AMOUNT.0 + 1, u64::MAX] {
            assert!(Amount::try_from(Cents(cents)).is_err(), "{cents}");
        }
        assert_eq!(amount(MAX_AMOUNT.0).cents(), MAX_AMOUNT);
        for text in ["", " ", &"x".repeat(MAX_REFERENCE_CHARS + 1)] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for text in ["", "usd", "US", "USDX", "U$D", "US#"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
        for retailer in RetailerCode::ALL {
            let currency = currency_of(retailer);
            assert_eq!(currency.parse::<Currency>().unwrap().as_str(), currency);
        }
    }

    #[test]
    fn amounts_read_as_money() {
        let texts = [5, -5, -12_345, 0].map(|cents| SignedCents(cents).to_string());
        assert_eq!(texts, ["0.05", "-0.05", "-123.45", "0.00"]);
    }
}
