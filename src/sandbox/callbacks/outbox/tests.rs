use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{BATCH, Outbox, Pending, Take};
use crate::sandbox::Settings;
use crate::sandbox::callbacks::{Message, Subject};
use crate::sandbox::recipients::Script;

fn outbox(settings: Settings) -> Outbox {
    Outbox::new(&Settings { callback_url: Some(String::from("http://127.0.0.1:1/")), ..settings })
}

fn pending() -> Pending {
    let message = Message {
        id: "wamid.1".into(),
        opaque: None,
        accepted_at: Timestamp::UNIX_EPOCH,
        reports: Script::of("0001").reports,
    };
    Pending { sender: "1".into(), number: "966501230001".into(), subject: Subject::Message(message) }
}

fn taken(outbox: &Outbox, now: Instant) -> Vec<Pending> {
    if let Take::Batch(batch) = outbox.take(now) { batch } else { Vec::new() }
}

#[test]
fn a_long_queue_is_taken_in_full_batches() {
    let outbox = outbox(Settings::default());
    for _ in 0..250 {
        assert!(outbox.push(pending(), outbox.start));
    }
    let due = outbox.start + Duration::from_millis(200);
    let sizes = [(); 4].map(|()| taken(&outbox, due).len());
    assert_eq!(sizes, [BATCH, BATCH, 50, 0]);
}

#[test]
fn a_message_is_reported_step_by_step_on_the_grid() {
    let outbox = outbox(Settings { latency: Duration::from_millis(300), ..Settings::default() });
    let at = |millis| outbox.start + Duration::from_millis(millis);
    outbox.push(pending(), at(3));
    for (early, due) in [(509, 510), (712, 720), (925, 930)] {
        assert!(taken(&outbox, at(early)).is_empty(), "due too early at {early} ms");
        let batch = taken(&outbox, at(due));
        assert_eq!(batch.len(), 1, "not due at {due} ms");
        outbox.settle(batch, true, at(due + 5));
    }
    assert_eq!((outbox.tally().open, outbox.tally().answered), (0, 3));
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let outbox = outbox(Settings { callback_capacity: 1, ..Settings::default() });
    assert!(outbox.push(pending(), outbox.start));
    assert!(!outbox.push(pending(), outbox.start));
    assert_eq!((outbox.tally().open, outbox.tally().dropped), (1, 1));
}

#[tokio::test]
async fn draining_makes_everything_due_and_ends() {
    let outbox = outbox(Settings { callback_delay: Duration::from_hours(5), ..Settings::default() });
    outbox.push(pending(), outbox.start);
    outbox.drain();
    while let Some(batch) = outbox.batch().await {
        outbox.settle(batch, true, outbox.start);
    }
    assert_eq!((outbox.tally().open, outbox.tally().answered), (0, 3));
}

#[test]
fn with_nowhere_to_report_nothing_is_taken() {
    let outbox = Outbox::new(&Settings::default());
    assert!(!outbox.push(pending(), outbox.start));
    assert_eq!(outbox.tally().dropped, 0);
}
