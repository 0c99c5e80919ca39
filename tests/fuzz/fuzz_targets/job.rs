//! What may come out of a queue. Nothing of it may panic, and what is taken for a job says the same when it is written
//! again.

#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use gatepost::domain::id::{DeliveryKey, MessageKey};
use gatepost::domain::job::{Kind, MAX_IDS, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    round_trip::<MessageKey>(Kind::Deliver, data);
    round_trip::<DeliveryKey>(Kind::Notify, data);
});

fn round_trip<Id: Display + FromStr + PartialEq>(kind: Kind, data: &[u8]) {
    let Ok(ids) = decode::<Id>(kind, data) else { return };
    assert!((1..=MAX_IDS).contains(&ids.len()));
    let written = encode(kind, &ids);
    assert_eq!(written.len(), 1);
    assert!(decode::<Id>(kind, &written[0]).is_ok_and(|again| again == ids));
}
