//! What requests and jobs cost: `docs/cost.md` lists the calls to AWS that the functions log, no more and no fewer.
//!
//! It needs the stack for itself, since it takes the operator's accounts away, and looks for lines that others would
//! write, too.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod aftersale;
mod jobs;
mod meter;
mod orders;
mod others;
mod page;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use meter::Meter;
use page::{Cells, Row};
use tokio::sync::Mutex;

/// Each test has the stack for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn the_page_lists_what_requests_and_jobs_call() {
    let _alone = ALONE.lock().await;
    let page = page::rows();
    let (meter, mut wrong) = measured(&page).await;
    if !wrong.is_empty() {
        // A call that AWS's client had to repeat counts, too: who waited for a busy machine once does not twice.
        println!("measured again: {wrong:?}");
        let (_, again) = measured(&page).await;
        wrong.retain(|what, _| again.contains_key(what));
    }
    let lines: Vec<_> = wrong.iter().map(|(what, cells)| format!("| {what} | {cells} |")).collect();
    assert!(lines.is_empty(), "docs/cost.md must say:\n{}", lines.join("\n"));
    let unmeasured: Vec<_> = page.keys().filter(|what| !meter.found.contains_key(*what)).collect();
    assert!(unmeasured.is_empty(), "nobody measures {unmeasured:?}");
    // The sandbox is a retailer, whose calls its own operator pays.
    let mut functions = functions();
    functions.remove("sandbox");
    // Runs when a stack is made, changed or deleted.
    functions.remove("activate-receipt-rules");
    assert_eq!(meter.functions, functions);
}

/// Measures everything, and finds what `page` says otherwise.
async fn measured(page: &BTreeMap<String, Row>) -> (Meter, BTreeMap<String, Cells>) {
    let mut meter = Meter::default();
    orders::measure(&mut meter).await;
    aftersale::measure(&mut meter).await;
    others::measure(&mut meter).await;
    jobs::measure(&mut meter).await;
    let hashing =
        ["create-order", "retry-order", "create-managed-account", "update-managed-account"];
    meter.note_process("the first request of a process that hashes", &hashing);
    let found = meter.found.iter();
    let is_wrong =
        |(what, cells): &(&String, &Cells)| page.get(*what).is_none_or(|row| row.cells != **cells);
    let wrong = found.filter(is_wrong).map(|(what, cells)| (what.clone(), cells.clone())).collect();
    (meter, wrong)
}

#[test]
fn what_is_called_more_often_than_it_should_be_has_a_reason() {
    let rows = page::rows();
    assert!(rows.len() > 40, "only {} rows were found", rows.len());
    for (what, row) in rows {
        let [dynamodb, kms, _] = row.cells.totals();
        let dynamodb_limit = if what.starts_with("`GET") { 1 } else { 2 };
        let is_usual = dynamodb <= dynamodb_limit && kms <= 1;
        assert!(is_usual || !row.why.is_empty(), "{what} needs a reason");
    }
}

#[test]
fn reads_of_orders_are_one_call_and_a_new_order_one_transaction_and_one_message() {
    let rows = page::rows();
    for read in ["`GET /v1/orders`", "`GET /v1/orders/{request_id}`"] {
        assert_eq!(rows[read].cells.totals(), [1, 0, 0]);
    }
    let new = &rows["`POST /v1/orders` with a login"];
    assert_eq!(new.heading, "Orders");
    assert_eq!(new.cells.0, ["1: TransactWriteItems", "1: Encrypt", "1: SendMessage"]);
}

/// The names of all functions.
fn functions() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/src/bin");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}
