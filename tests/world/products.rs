//! Products of the sandbox retailer that nobody has asked for before.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{STACK, admin, http};

/// A product of its own for each test.
#[derive(Debug)]
pub struct ShopProduct {
    /// Its id.
    pub id: String,
}

impl ShopProduct {
    /// A new one.
    pub fn new() -> Self {
        Self { id: format!("THING-{}", Uuid::new_v4().simple()) }
    }

    /// Tells the shop to behave badly on its public pages.
    pub async fn behave(&self, behaviour: Value) {
        let body = json!({"product_id": self.id, "step": "page", "behaviour": behaviour});
        admin(http().put(format!("{}/admin/behaviours", STACK.sandbox_url)).json(&body)).await;
    }

    /// Tells the shop to behave again.
    pub async fn behave_well(&self) {
        let url = format!("{}/admin/behaviours?product_id={}", STACK.sandbox_url, self.id);
        admin(http().delete(url)).await;
    }

    /// How often the shop was asked for its page `page`: `details` or `offers`.
    pub async fn views(&self, page: &str) -> u64 {
        let url = format!("{}/admin/page-views?product_id={}", STACK.sandbox_url, self.id);
        admin(http().get(url)).await[page].as_u64().expect("a count")
    }
}

impl Default for ShopProduct {
    fn default() -> Self {
        Self::new()
    }
}
