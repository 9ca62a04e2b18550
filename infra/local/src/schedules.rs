//! Schedules: a rule that invokes a function at a fixed rate, as `EventBridge` does.

use crate::{
    clock,
    intrinsics::{ACCOUNT, REGION},
    lambda::Lambdas,
    model::Schedule,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Fires one schedule until the task is dropped. The first event comes after one period.
pub async fn run(schedule: Schedule, lambdas: Arc<Lambdas>) {
    let mut ticks =
        tokio::time::interval_at(tokio::time::Instant::now() + schedule.every, schedule.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let event = match &schedule.input {
            Some(input) => input.clone(),
            None => event(&schedule.rule).to_string(),
        };
        lambdas.invoke_later(&schedule.function, event.into());
    }
}

/// Reads `rate(5 minutes)`.
pub fn parse_rate(expression: &str) -> Option<Duration> {
    let inner = expression.trim().strip_prefix("rate(")?.strip_suffix(')')?;
    let mut words = inner.split_whitespace();
    let (count, unit, rest) = (words.next()?, words.next()?, words.next());
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    let seconds = match (unit, count) {
        ("minute", 1) | ("minutes", 2..) => 60,
        ("hour", 1) | ("hours", 2..) => 60 * 60,
        ("day", 1) | ("days", 2..) => 24 * 60 * 60,
        _ => return None,
    };
    rest.is_none().then(|| Duration::from_secs(count.saturating_mul(seconds)))
}

fn event(rule: &str) -> Value {
    json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}")],
        "detail": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_eventbridge_reads_them() {
        let cases = [
            ("rate(1 minute)", Some(60)),
            ("rate(5 minutes)", Some(300)),
            ("rate(1 hour)", Some(3600)),
            ("rate(2 days)", Some(172_800)),
            ("rate(1 minutes)", None),
            ("rate(5 minute)", None),
            ("rate(0 minutes)", None),
            ("rate(5 minutes x)", None),
            ("cron(0 12 * * ? *)", None),
            ("every day", None),
        ];
        for (expression, seconds) in cases {
            assert_eq!(parse_rate(expression), seconds.map(Duration::from_secs), "{expression}");
        }
    }
}
