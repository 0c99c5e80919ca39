//! What a stranger may post to Meta's address: a signature, a line break, a body. Nothing of it may panic, and what is
//! read of a body must be fit for the database.

#![no_main]

use gatepost::callbacks::meta_payload::{Update, parse};
use gatepost::callbacks::signature;
use gatepost::domain::opt_out;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(end) = data.iter().position(|byte| *byte == b'\n')
        && let Ok(header) = std::str::from_utf8(&data[..end])
    {
        let taken = signature::verify(b"the fuzzer's secret", Some(header), &data[end..]);
        assert!(!taken || signature::is_well_formed(header));
    }
    let Ok(payload) = parse(data, Timestamp::UNIX_EPOCH) else { return };
    for update in &payload.updates {
        match update {
            Update::Status { phone_number_id, provider_message_id, .. } => {
                storable(provider_message_id);
                let _ = phone_number_id;
            }
            Update::Inbound { provider_message_id, from, texts, .. } => {
                storable(provider_message_id);
                number(from.as_deref());
                for text in texts {
                    storable(text);
                    let _ = opt_out::wish(text);
                }
            }
            Update::NumberChanged { old, new, .. } => {
                number(Some(old));
                number(Some(new));
            }
            _ => {}
        }
    }
    let again = parse(data, Timestamp::UNIX_EPOCH);
    assert!(again.is_ok_and(|again| again == payload), "the same body is read the same");
});

/// Postgres takes no NUL, and an empty text names nothing.
fn storable(text: &str) {
    assert!(!text.is_empty() && !text.contains('\0'));
}

fn number(digits: Option<&str>) {
    assert!(digits.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())));
}
