//! Who gets the webhooks.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use serde_json::Value;
use spelter::http::outbound::{Courier, Letter, NoReply, Reply};
use tokio::time::sleep;

use crate::{
    faults::{Callee, call},
    world::{self, World},
};

/// What arrived.
#[derive(Default)]
pub struct Receiver {
    /// Of each order, the words that told how it ended, in the order in which they arrived.
    pub told: BTreeMap<String, Vec<String>>,
    /// How many webhooks arrived.
    pub arrived: u64,
}

/// The way there.
pub struct Post;

const PATIENCE: Duration = Duration::from_secs(15);

impl Courier for Post {
    async fn deliver(&self, letter: Letter<'_>) -> Result<Reply, NoReply> {
        let id = letter.headers.get("webhook-id").and_then(|id| id.to_str().ok());
        let id = id.unwrap_or_default().to_owned();
        let act = |world: &mut World, _| {
            world.receiver.take(&letter.body);
            reply(StatusCode::OK)
        };
        let busy = |_| reply(StatusCode::SERVICE_UNAVAILABLE);
        let time = world::a_while(10, 200);
        let reply = call(Callee::Receiver, "webhook", || id.clone(), time, act, busy).await;
        if reply.is_none() {
            sleep(PATIENCE).await;
        }
        reply.ok_or_else(|| NoReply::Failed("no answer".to_owned()))
    }
}

fn reply(status: StatusCode) -> Reply {
    Reply { status, retry_after: None, body: Vec::new() }
}

impl Receiver {
    fn take(&mut self, body: &str) {
        self.arrived += 1;
        let body: Value = serde_json::from_str(body).expect("JSON");
        let ended = body["code"].as_str().or_else(|| body["_type"].as_str());
        let id = body["request_id"].as_str().or_else(|| body["request"]["request_id"].as_str());
        if let (Some(ended), Some(id)) = (ended, id) {
            self.told.entry(id.to_owned()).or_default().push(ended.to_owned());
        }
    }
}
