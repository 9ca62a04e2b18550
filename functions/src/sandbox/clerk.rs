//! The routes of whoever runs the shop for single orders: ship, deliver, decide a cancellation, take a return.

use std::{str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};
use deserr::Deserr;
use serde_json::{Value, json};
use spelter::{
    email::Email,
    fields::{Faults, Unfit},
};

use super::{
    Shop, accounts,
    answer::{Body, Fault},
    orders::{self, Cancelling, Changed, Record, Told},
    returns,
    store::Key,
};

/// `GET /admin/orders/{order_id}`: all that the shop knows of it.
pub async fn show(
    State(shop): State<Arc<Shop>>,
    Path(order_id): Path<String>,
) -> Result<Json<Record>, Fault> {
    Ok(Json(orders::find(&shop, &order_id).await?))
}

/// How an order is sent.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Shipping {
    /// Shops often say that a parcel is under way before they say its number. Ship it again to show it.
    #[deserr(default = true)]
    with_number: bool,
}

/// `POST /admin/orders/{order_id}/ship`. Who gets mail of the shop is told of the number; if that fails, ship it again.
pub async fn ship(
    State(shop): State<Arc<Shop>>,
    Path(order_id): Path<String>,
    Body(Shipping { with_number }): Body<Shipping>,
) -> Result<Json<Value>, Fault> {
    let shipped = change(&shop, &order_id, |record, now_ms| record.ship(with_number, now_ms)).await;
    if with_number && shipped.is_ok() {
        // On the heap: mailing makes this a large future.
        Box::pin(tell_buyer(&shop, &order_id)).await?;
    }
    shipped
}

/// Mails the number of an order's parcel, if its buyer has the shop's mails forwarded.
async fn tell_buyer(shop: &Shop, order_id: &str) -> Result<(), Fault> {
    let record = orders::find(shop, order_id).await?;
    let Some(account) = accounts::find(shop, &record.email).await? else { return Ok(()) };
    let Some(mailbox) = &account.forwards_to else { return Ok(()) };
    let (carrier, number) = record.parcel();
    shop.post_office.send_shipped(mailbox, &account.email, order_id, carrier, number).await
}

/// `POST /admin/orders/{order_id}/deliver`
pub async fn deliver(
    State(shop): State<Arc<Shop>>,
    Path(order_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    change(&shop, &order_id, Record::deliver).await
}

/// What becomes of an attempt to cancel.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Decision {
    granted: bool,
}

/// `POST /admin/orders/{order_id}/cancellation`
pub async fn decide(
    State(shop): State<Arc<Shop>>,
    Path(order_id): Path<String>,
    Body(Decision { granted }): Body<Decision>,
) -> Result<Json<Value>, Fault> {
    change(&shop, &order_id, |record, now_ms| record.decide(granted, now_ms)).await
}

/// How an account's cancellations are taken from now on.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct CancellingRequest {
    #[deserr(try_from(&String) = Email::from_str -> spelter::email::InvalidEmail)]
    email: Email,
    #[deserr(try_from(&String) = cancelling -> Unfit)]
    how: Cancelling,
}

fn cancelling(text: &str) -> Result<Cancelling, Unfit> {
    let known = Cancelling::ALL.into_iter().find(|how| how.as_str() == text);
    known.ok_or_else(|| {
        Unfit(format!("must be one of {}", Cancelling::ALL.map(Cancelling::as_str).join(", ")))
    })
}

/// `PUT /admin/cancelling`
pub async fn put_cancelling(
    State(shop): State<Arc<Shop>>,
    Body(CancellingRequest { email, how }): Body<CancellingRequest>,
) -> Result<Json<Value>, Fault> {
    let email = email.canonical();
    shop.store.put(&Key::cancelling(&email), &Told { how }).await?;
    Ok(Json(json!({ "email": email, "how": how })))
}

/// `POST /admin/returns/{return_id}/receive`: the parcel has come back.
pub async fn receive(
    State(shop): State<Arc<Shop>>,
    Path(return_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let order_id = returns::order_of(&shop, &return_id).await?;
    change(&shop, &order_id, |record, now_ms| record.receive(&return_id, now_ms)).await
}

/// `POST /admin/returns/{return_id}/refund`: its money is paid back.
pub async fn refund(
    State(shop): State<Arc<Shop>>,
    Path(return_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let order_id = returns::order_of(&shop, &return_id).await?;
    change(&shop, &order_id, |record, now_ms| record.refund(&return_id, now_ms)).await
}

async fn change(
    shop: &Shop,
    order_id: &str,
    decide: impl Fn(&mut Record, i64) -> Result<Changed<()>, Fault>,
) -> Result<Json<Value>, Fault> {
    orders::change(shop, order_id, decide).await?;
    Ok(Json(json!({ "order_id": order_id })))
}
