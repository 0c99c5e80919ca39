//! What a customer, or a stranger with a customer's key, may post as a send. Nothing of it may panic, what is accepted must
//! be fit for the database and for the provider, and what is refused must say which fields are at fault.

#![no_main]

use gatepost::domain::opt_out;
use gatepost::domain::phone::PhoneNumber;
use gatepost::domain::refusal::Refusal;
use gatepost::domain::send_request::{LONGEST_INSTANCE_ID, LONGEST_MESSAGE, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let request = match parse(data) {
        Ok(request) => request,
        Err(Refusal::Validation(fields)) => return assert!(!fields.is_empty()),
        Err(refusal) => return assert_eq!(refusal, Refusal::InvalidJson),
    };
    storable(&request.instance_id);
    assert!(request.instance_id.chars().count() <= LONGEST_INSTANCE_ID);
    storable(&request.message);
    assert!(request.message.encode_utf16().count() <= LONGEST_MESSAGE);
    assert_eq!(request.message.trim(), request.message);
    let digits = request.phone.digits();
    assert!((7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
    assert!(PhoneNumber::parse(digits).is_some_and(|again| again == request.phone), "one number, one form");
    assert!(request.validity_seconds.is_none_or(|seconds| seconds > 0));
    if let Some(template) = &request.template {
        storable(&template.name);
        storable(&template.language);
        template.parameters.texts().for_each(storable);
        let shown = template.texts_beside(&request.message);
        assert!(template.parameters.texts().all(|text| shown.contains(text.trim())), "all of it is judged");
    }
    let _ = opt_out::wish(&request.message);
});

/// Postgres takes no NUL, and an empty text says nothing.
fn storable(text: &str) {
    assert!(!text.is_empty() && !text.contains('\0'));
}
