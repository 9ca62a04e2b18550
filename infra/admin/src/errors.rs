//! The page of error codes, made from the one table of them.

use std::fmt::Write as _;

use spelter::error::{Code, MoneyMoved};

/// `docs/errors.md`.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Error codes\n\n\
         Made by `cargo run -p spelter-admin -- errors > docs/errors.md` from the table in `shared/src/error.rs`.\n\n\
         An accepted order's result is always answered with status 200, whatever became of it. The status below is of\n\
         an answer that refuses a request with this code. Every error also says `retryable`, whether the same request\n\
         may succeed later, and `money_moved`: `yes`, `no`, or `unknown`, where nobody can say from here.\n\n\
         An order of which it was left open whether it was bought (`order_probably_placed`, `manual_review_required`) is\n\
         never submitted again. Its `data` says where to look: `look_at`, the account at the retailer; `since`, the time\n\
         of the purchase; `candidates`, ids of the retailer's orders that may be it, if there are any. If it was not\n\
         bought, order again with another `idempotency_key`.\n\n\
         | code | meaning | status | retryable | money moved |\n|---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let row = code.row();
        let retryable = if row.retryable { "yes" } else { "no" };
        let money_moved = match row.money_moved {
            MoneyMoved::Yes => "yes",
            MoneyMoved::No => "no",
            MoneyMoved::Unknown => "unknown",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {retryable} | {money_moved} |",
            row.code,
            row.meaning,
            row.status.as_u16()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_the_table() {
        let written = include_str!("../../../docs/errors.md");
        assert_eq!(
            written,
            page(),
            "make it again: cargo run -p spelter-admin -- errors > docs/errors.md"
        );
    }
}
