//! What an Evolution server, or who has learned an instance's address, may post there. Nothing of it may panic, and what
//! is read of a body must be fit for the database.

#![no_main]

use gatepost::callbacks::evolution_payload::{Update, parse};
use gatepost::domain::opt_out;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(payload) = parse(data, Timestamp::UNIX_EPOCH) else { return };
    for update in &payload.updates {
        match update {
            Update::Status { provider_message_id, lid, .. } => {
                storable(provider_message_id);
                person(None, lid.as_deref());
            }
            Update::WentOut { provider_message_id, to, lid, text } => {
                storable(provider_message_id);
                person(to.as_deref(), lid.as_deref());
                text.iter().for_each(|text| storable(text));
            }
            Update::Inbound { provider_message_id, from, lid, texts, replied_to, .. } => {
                storable(provider_message_id);
                assert!(from.is_some() || lid.is_some(), "somebody wrote it");
                person(from.as_deref(), lid.as_deref());
                replied_to.iter().for_each(|text| storable(text));
                for text in texts {
                    storable(text);
                    let _ = opt_out::wish(text);
                }
            }
            Update::Connection { .. } => {}
        }
    }
    let again = parse(data, Timestamp::UNIX_EPOCH);
    assert!(again.is_ok_and(|again| again == payload), "the same body is read the same");
});

/// Postgres takes no NUL, and an empty text names nothing.
fn storable(text: &str) {
    assert!(!text.is_empty() && !text.contains('\0'));
}

fn person(phone: Option<&str>, lid: Option<&str>) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(phone.is_none_or(digits));
    assert!(lid.is_none_or(|lid| lid.strip_suffix("@lid").is_some_and(digits)));
}
