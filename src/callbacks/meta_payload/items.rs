//! The single items of a callback: one JSON object, one update.
//!
//! Each reader gives `None` for what lacks the parts that make it usable, and for words it does not know.

use jiff::Timestamp;
use serde_json::Value;

use super::{ReportedStatus, Update};
use crate::callbacks::json::{id, moment, text};
use crate::domain::meta_codes::{MetaError, classify};
use crate::domain::outcome::{Class, Failure};
use crate::domain::phone::one_spelling;

/// Reads one kind of item.
pub(super) type ItemReader = fn(&Context, &Value) -> Option<Update>;

/// What the updates of one change share.
pub(super) struct Context {
    phone_number_id: String,
    contacts: Vec<Value>,
    received_at: Timestamp,
}

pub(super) fn status(context: &Context, item: &Value) -> Option<Update> {
    let status = match item["status"].as_str()? {
        "sent" => ReportedStatus::Sent,
        "delivered" => ReportedStatus::Delivered,
        "read" | "played" => ReportedStatus::Read,
        "failed" => ReportedStatus::Failed(reported_failure(&item["errors"])),
        _ => return None,
    };
    Some(Update::Status {
        phone_number_id: context.phone_number_id.clone(),
        provider_message_id: id(&item["id"])?,
        status,
        at: context.time(&item["timestamp"]),
        user_id: context.recipient(item),
        opaque: text(&item["biz_opaque_callback_data"]),
    })
}

/// The first readable error; a failure that comes without one is final all the same.
fn reported_failure(errors: &Value) -> Failure {
    let error = errors.as_array().into_iter().flatten().find_map(MetaError::from_json);
    error.map_or_else(
        || Failure::new(Class::Permanent, "meta reports a failure without a code"),
        |error| classify(&error, None),
    )
}

pub(super) fn message(context: &Context, item: &Value) -> Option<Update> {
    /// Where the different kinds of message keep what a person wrote or tapped.
    const TEXTS: [&str; 7] = [
        "/text/body",
        "/button/text",
        "/button/payload",
        "/interactive/button_reply/id",
        "/interactive/button_reply/title",
        "/interactive/list_reply/id",
        "/interactive/list_reply/title",
    ];
    let phone_number_id = context.phone_number_id.clone();
    let provider_message_id = id(&item["id"])?;
    let at = context.time(&item["timestamp"]);
    if item["type"] == "system" {
        // Not written by a person. Of the notices only a new number matters.
        let system = (item["system"]["type"] == "user_changed_number").then_some(&item["system"])?;
        let (old, new) = (digits(&item["from"])?, digits(&system["wa_id"])?);
        return Some(Update::NumberChanged { phone_number_id, provider_message_id, old, new, at });
    }
    let (from, user_id) = context.person(digits(&item["from"]), id(&item["from_user_id"]));
    let texts = TEXTS.iter().filter_map(|place| text(item.pointer(place)?)).collect();
    let replied_to = id(&item["context"]["id"]);
    Some(Update::Inbound { phone_number_id, provider_message_id, from, user_id, texts, replied_to, at })
}

pub(super) fn preference(context: &Context, item: &Value) -> Option<Update> {
    let stop = match item["value"].as_str()? {
        "stop" => true,
        "resume" => false,
        _ => return None,
    };
    let (wa_id, user_id) = context.person(digits(&item["wa_id"]), id(&item["user_id"]));
    let phone_number_id = context.phone_number_id.clone();
    Some(Update::Preference { phone_number_id, wa_id, user_id, stop, at: context.time(&item["timestamp"]) })
}

pub(super) fn sender_error(context: &Context, item: &Value) -> Option<Update> {
    let failure = classify(&MetaError::from_json(item)?, None);
    Some(Update::SenderError { phone_number_id: context.phone_number_id.clone(), failure })
}

impl Context {
    pub(super) fn new(phone_number_id: &str, contacts: Vec<Value>, received_at: Timestamp) -> Self {
        Self { phone_number_id: phone_number_id.to_owned(), contacts, received_at }
    }

    /// Unix seconds, as a string or (in preferences) a number.
    fn time(&self, value: &Value) -> Timestamp {
        let seconds = value.as_str().map_or_else(|| value.as_i64(), |digits| digits.parse().ok());
        seconds.and_then(|seconds| moment(seconds, self.received_at)).unwrap_or(self.received_at)
    }

    /// Meta's id of the person whom a status speaks of: its own, or that of the only contact beside it.
    fn recipient(&self, status: &Value) -> Option<String> {
        id(&status["recipient_user_id"]).or_else(|| match self.contacts.as_slice() {
            [contact] => id(&contact["user_id"]),
            _ => None,
        })
    }

    /// A person's number and user id, the missing one of the two filled in from the contacts beside the message.
    fn person(&self, phone: Option<String>, user_id: Option<String>) -> (Option<String>, Option<String>) {
        let contact = self.contacts.iter().find(|contact| {
            let (their_phone, their_id) = (digits(&contact["wa_id"]), id(&contact["user_id"]));
            phone.is_some() && phone == their_phone || user_id.is_some() && user_id == their_id
        });
        let contact = contact.unwrap_or(&Value::Null);
        (phone.or_else(|| digits(&contact["wa_id"])), user_id.or_else(|| id(&contact["user_id"])))
    }
}

/// A phone number's digits in our form; Meta writes numbers with and without a plus.
fn digits(value: &Value) -> Option<String> {
    let digits: String = value.as_str()?.chars().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then(|| one_spelling(&digits).into_owned())
}
