//! The sandbox retailer: a small shop that is reached over HTTP only, like any other, and keeps its own table.
//!
//! It is a foreign shop: it has words of its own, knows nothing of our orders and honours no idempotency key. Whoever
//! submits a checkout twice buys twice, and the ledger shows it. It can be told to be slow, to fail or to hang up
//! ([`behaviour`]), and some product ids always fail ([`magic`]).
//!
//! It must not keep a secret in clear: of a password it keeps a salted hash, of a session's token and of a mailed code a
//! hash, of a TOTP secret what KMS sealed, and of a card nothing.

pub mod accounts;
pub mod admin;
pub mod answer;
pub mod behaviour;
pub mod card;
pub mod cart;
pub mod catalogue;
pub mod challenges;
pub mod checkout;
pub mod clerk;
pub mod history;
pub mod journal;
pub mod labels;
pub mod magic;
pub mod market;
pub mod orders;
pub mod pages;
pub mod post_office;
pub mod prices;
pub mod returns;
pub mod split;
pub mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use secrecy::SecretString;
use spelter::{aws::vault::Vault, clock::Clock};

use self::{answer::Fault, post_office::PostOffice, store::Store};

/// What the shop may touch.
pub struct Shop {
    /// Its table.
    pub store: Store,
    /// What TOTP secrets are sealed with.
    pub vault: Vault,
    /// Its mails.
    pub post_office: PostOffice,
    /// What opens the admin routes; empty for never.
    pub admin_token: SecretString,
    /// The time.
    pub now: Clock,
    /// Ends the process in the middle of a request, so that the caller gets no answer of ours.
    pub hang_up: fn() -> !,
}

/// All routes of the shop.
pub fn router(shop: Shop) -> Router {
    let shop = Arc::new(shop);
    let visits = Router::new()
        .route("/account", get(accounts::show))
        .route("/products/{product_id}/offers", get(catalogue::offers))
        .route("/cart", put(cart::fill))
        .route("/checkout/shipping", post(checkout::shipping))
        .route("/checkout/review", post(checkout::review))
        .route("/checkout/submit", post(checkout::submit))
        .route("/orders", get(history::list))
        .route("/orders/{order_id}", get(orders::show))
        .route("/orders/{order_id}/cancel", post(orders::cancel))
        .route("/orders/{order_id}/returns", get(returns::list).post(returns::start))
        .route("/returns/{return_id}", get(returns::show))
        .route("/returns/{return_id}/labels", get(returns::labels))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shop), journal::of_visit));
    let admin = Router::new()
        .route("/admin/accounts", post(admin::put_account))
        .route("/admin/behaviours", put(admin::put_behaviour).delete(admin::delete_behaviours))
        .route("/admin/journal", get(admin::journal))
        .route("/admin/ledger", get(admin::ledger))
        .route("/admin/page-views", get(admin::page_views))
        .route("/admin/cancelling", put(clerk::put_cancelling))
        .route("/admin/orders/{order_id}", get(clerk::show))
        .route("/admin/orders/{order_id}/ship", post(clerk::ship))
        .route("/admin/orders/{order_id}/deliver", post(clerk::deliver))
        .route("/admin/orders/{order_id}/cancellation", post(clerk::decide))
        .route("/admin/returns/{return_id}/receive", post(clerk::receive))
        .route("/admin/returns/{return_id}/refund", post(clerk::refund))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shop), admin::only));
    Router::new()
        .route("/sign-in", post(accounts::sign_in))
        .route("/sign-in/code", post(challenges::answer))
        .route("/pages/{product_id}", get(pages::show))
        .route("/pages/{product_id}/offers", get(pages::offers))
        .merge(visits)
        .merge(admin)
        .fallback(async || Fault::NotFound)
        .with_state(shop)
}

/// Ends the process as a crash would. API Gateway answers the caller with an empty 5xx: the nearest that a Lambda can
/// come to a connection that breaks.
pub fn hang_up() -> ! {
    std::process::exit(1)
}
