//! `GET /v1/retailers` lists the retailers, and what can be done at each.

use http::StatusCode;
use serde::Serialize;
use spelter::{
    accounts::Owner,
    error::ApiError,
    http::{Endpoint, Request},
    retailers::{RetailerCode, Site, table::Row},
};

/// It may touch nothing: the list is part of the program.
pub struct ListRetailers;

/// All retailers.
#[derive(Serialize)]
pub struct Listing {
    retailers: Vec<View>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "a table of what can be done")]
struct View {
    name: &'static str,
    retailer: RetailerCode,
    country: Option<&'static str>,
    /// Whether there is a way to it for the caller's key.
    available: bool,
    orders: bool,
    orders_beta: bool,
    product_details: bool,
    product_prices: bool,
    cancellations: bool,
    returns: bool,
    gift_balance: bool,
    bundling: bool,
    addax: bool,
}

impl Endpoint for ListRetailers {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Listing;

    async fn handle(&self, owner: Owner, _: Request) -> Result<Listing, ApiError> {
        let view = |retailer| View::new(retailer, Site::of(retailer, owner.mode).is_some());
        Ok(Listing { retailers: RetailerCode::ALL.into_iter().map(view).collect() })
    }
}

impl View {
    fn new(retailer: RetailerCode, available: bool) -> Self {
        let Row {
            name,
            country,
            orders,
            orders_beta,
            product_details,
            product_prices,
            cancellations,
            returns,
            gift_balance,
            bundling,
            addax,
        } = retailer.row();
        Self {
            name,
            retailer,
            country,
            available,
            orders,
            orders_beta,
            product_details,
            product_prices,
            cancellations,
            returns,
            gift_balance,
            bundling,
            addax,
        }
    }
}
