//! What the shop's journal says of presses of the button.

use serde_json::Value;

use crate::overlap::Entry;

/// What the journal calls a press of the button.
pub(crate) const PRESS: &str = "submit";
/// A worker has at least so long until its deadline when it writes the marker.
const LEFT_AT_THE_MARKER_MS: i64 = 3_000;
/// And so long after that deadline, for clocks that differ and for a history that lags, an order that the shop does not
/// show may not be said not to be placed.
const SILENCE_MS: i64 = 5_000 + 5_000;

/// When the marker of an order was written, which is just before the press, as its public view has it.
pub(crate) fn marked_at_ms(order: &Value) -> Option<i64> {
    let updates = order.get("status_updates")?.as_array()?;
    let text = |update: &Value, name: &str| Some(update.get(name)?.as_str()?.to_owned());
    let mut updates = updates.iter().rev();
    let marked = updates.find(|update| text(update, "type").as_deref() == Some("order.submitting"));
    let at: jiff::Timestamp = text(marked?, "_created_at")?.parse().ok()?;
    Some(at.as_millisecond())
}

/// Whether an order was said not to be placed while it still could be: so soon after its marker although its press had
/// reached the shop. Nobody else is at the account so soon, so the press is the order's.
pub(crate) fn is_too_soon(journal: &[Entry], marked_at_ms: i64, said_at_ms: i64) -> bool {
    let is_its = |entry: &Entry| {
        entry.kind == PRESS && (marked_at_ms..=said_at_ms).contains(&entry.started_at_ms)
    };
    said_at_ms <= marked_at_ms + LEFT_AT_THE_MARKER_MS + SILENCE_MS && journal.iter().any(is_its)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn press(started_at_ms: i64) -> Entry {
        let (session, kind) = ("a".to_owned(), PRESS.to_owned());
        Entry { session, kind, started_at_ms, ended_at_ms: None }
    }

    #[test]
    fn an_order_shows_when_its_marker_was_written() {
        let update = |kind, at| json!({"type": kind, "_created_at": at});
        let updates = json!([
            update("cart.filled", "1970-01-01T00:00:01.000Z"),
            update("order.submitting", "1970-01-01T00:00:02.500Z"),
            update("request.finished", "1970-01-01T00:00:03.000Z"),
        ]);
        assert_eq!(marked_at_ms(&json!({"status_updates": updates})), Some(2_500));
        assert_eq!(marked_at_ms(&json!({"status_updates": []})), None);
    }

    #[test]
    fn what_was_pressed_is_not_said_not_to_be_placed_at_once() {
        assert!(is_too_soon(&[press(1_010)], 1_000, 14_000));
        assert!(!is_too_soon(&[press(1_010)], 1_000, 14_001));
    }

    #[test]
    fn what_never_reached_the_shop_may_be_said_not_to_be_placed_at_once() {
        assert!(!is_too_soon(&[], 1_000, 1_050));
        // Those of orders before and after it.
        assert!(!is_too_soon(&[press(900), press(1_100)], 1_000, 1_050));
        let review = Entry { kind: "review".to_owned(), ..press(1_010) };
        assert!(!is_too_soon(&[review], 1_000, 1_050));
    }
}
