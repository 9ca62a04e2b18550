//! What cancellations and returns have in common.

pub mod accept;
pub mod get;
pub mod progress;
pub mod view;

use serde_json::{Map, Value};
use spelter::{
    aftersale::{AfterSale, Stage},
    aws::queue::JobMessage,
    id::ReturnId,
};

/// What tells one kind of request from another outside its lifecycle.
pub trait Kind: Stage {
    /// How it stands, as a client sees it.
    fn outcome(request: &AfterSale<Self>) -> Map<String, Value>;

    /// Which return it is, if it is one.
    fn return_id(request: &AfterSale<Self>) -> Option<ReturnId>;

    /// What has it worked on.
    fn message(request: &AfterSale<Self>) -> JobMessage;
}
