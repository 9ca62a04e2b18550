//! That a run can be repeated, that a guard is there again after it was taken away, and that a crowd would be noticed.

use std::{path::Path, rc::Rc};

use spelter::guards::{Guard, removed};

use crate::{
    again::{Again, Size},
    edges::{Crowd, Edge, tried},
    platform::Deployment,
    run::Outcome,
};

const SIZE: Size = Size { orders: 15, accounts: 5, one_in: 40, buries: false };

fn deployment() -> Rc<Deployment> {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    Rc::new(Deployment::read(&template).unwrap())
}

fn outcome(deployment: &Rc<Deployment>, seed: u64, without: Option<Guard>) -> Outcome {
    Again::Seed { seed, size: SIZE, without }.attempt(deployment, true).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let deployment = deployment();
    let runs = [7, 7, 8].map(|seed| outcome(&deployment, seed, None));
    let [one, same, other] = &runs;
    assert_eq!(one.lines, same.lines);
    assert_eq!((one.hash, one.struck), (same.hash, same.struck));
    assert!(one.struck > 0);
    assert_ne!(one.hash, other.hash);
    assert!(runs.iter().all(|run| run.verdict.is_good()));
}

#[test]
fn a_webhook_is_sent_again_at_the_same_time() {
    let deployment = deployment();
    let again =
        Again::Seed { seed: 7, size: Size { orders: 30, one_in: 60, ..SIZE }, without: None };
    let runs = [(); 2].map(|()| again.attempt(&deployment, true).unwrap());
    let [one, same] = &runs;
    let is_unheard = |line: &String| line.contains(" webhook  ") && line.contains("STRUCK BY");
    assert!(one.lines.iter().any(is_unheard));
    assert_eq!(one.lines, same.lines);
}

#[test]
fn a_guard_that_is_missed_is_there_again_in_the_next_run() {
    let deployment = deployment();
    let is_good = |seed, without| outcome(&deployment, seed, without).verdict.is_good();
    let missed = (0..20).find(|seed| !is_good(*seed, Some(Guard::IdempotencyKey)));
    let seed = missed.expect("a guard that is missed");
    assert!(is_good(seed, None));
}

#[test]
fn a_second_message_that_the_queue_takes_for_the_first_comes_too_late() {
    let deployment = deployment();
    let is_good = |without| {
        removed::set(without);
        let found = tried(&deployment, Edge::LOST, false);
        removed::set(None);
        found.unwrap().faults().is_empty()
    };
    assert!(!is_good(Some(Guard::Dispatch)));
    assert!(is_good(None));
}

#[test]
fn others_notice_an_account_whose_jobs_are_all_in_the_queue() {
    let faults = |crowd| tried(&deployment(), Edge::Crowded(crowd), false).unwrap().faults();
    let crowd = Crowd { jobs: 60, window: 40, called_at_once: 1_000_000 };
    let [waited, too_many] = ["others waited for the crowd", "an account had too many messages"];
    assert_eq!(faults(crowd), [waited, too_many]);
    // Even where nobody waits for them there may not be so many.
    assert_eq!(faults(Crowd { window: 1_000, ..crowd }), [too_many]);
    assert_eq!(faults(Crowd { called_at_once: 2, ..crowd }), [""; 0]);
}
