//! Meta's webhook bodies.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::sandbox::callbacks::pending::{Message, Pending, Subject};
use crate::sandbox::callbacks::signature::{ascii, message_id};
use crate::sandbox::faults::ReportedError;
use crate::sandbox::recipients::{Report, Way};

/// The number every sender shows.
pub const DISPLAY_NUMBER: &str = "966550009999";

/// The name every sender shows.
pub const VERIFIED_NAME: &str = "Sandbox";

/// The WhatsApp Business Account every sender belongs to.
const ACCOUNT_ID: &str = "201234567890123";

/// The name every recipient goes by.
const PROFILE_NAME: &str = "Test Customer";

#[derive(Serialize)]
struct Envelope<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'static str,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    value: Value<'a>,
    field: &'static str,
}

/// Meta's fields in Meta's order.
#[derive(Serialize)]
struct Value<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Inbound<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'static str,
    phone_number_id: &'a str,
}

#[derive(Serialize)]
struct Contact<'a> {
    profile: Profile,
    wa_id: &'a str,
}

#[derive(Serialize)]
struct Profile {
    name: &'static str,
}

#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    status: &'static str,
    /// Unix seconds, as a string.
    timestamp: String,
    recipient_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ReportedError>,
}

/// Comes with one of a message's statuses, here with `delivered`.
#[derive(Serialize)]
struct Pricing {
    billable: bool,
    pricing_model: &'static str,
    r#type: &'static str,
    category: &'static str,
}

const FREE_OF_CHARGE: Pricing =
    Pricing { billable: false, pricing_model: "PMP", r#type: "free_customer_service", category: "service" };

#[derive(Serialize)]
struct Inbound<'a> {
    from: &'a str,
    id: String,
    timestamp: String,
    r#type: &'static str,
    #[serde(flatten)]
    said: Said<'a>,
}

/// What somebody said, under the name of its kind.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said<'a> {
    Text { body: &'a str },
    Interactive(Interactive<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Interactive<'a> {
    ButtonReply { button_reply: Choice<'a> },
    ListReply { list_reply: Choice<'a> },
}

#[derive(Serialize)]
struct Choice<'a> {
    id: &'static str,
    title: &'a str,
}

impl<'a> Said<'a> {
    fn new(way: Way, words: &'a str) -> Self {
        let choice = |id| Choice { id, title: words };
        match way {
            Way::Text => Self::Text { body: words },
            Way::Button => Self::Interactive(Interactive::ButtonReply { button_reply: choice("button-1") }),
            Way::Row => Self::Interactive(Interactive::ListReply { list_reply: choice("row-1") }),
        }
    }
}

/// The body that reports the next update of each; neighbours of one sender and one kind share a change.
/// `step` is the time between two events of a message.
pub fn body(batch: &[Pending], now: Timestamp, step: Duration) -> Result<String, serde_json::Error> {
    let mut changes = Vec::new();
    for pending in batch {
        match &pending.subject {
            Subject::Text(text) => add_inbound(&mut changes, pending, (Way::Text, text), now),
            // Evolution's alone.
            Subject::WentOut { .. } | Subject::Link(_) => {}
            Subject::Message(message) => {
                if let Some(report) = message.reports.first() {
                    let at = now.min(event_time(message, *report, step));
                    add_report(&mut changes, (pending, message), *report, at);
                }
            }
        }
    }
    let entry = [Entry { id: ACCOUNT_ID, changes }];
    serde_json::to_string(&Envelope { object: "whatsapp_business_account", entry }).map(ascii)
}

/// When an event happened, whatever the order and the number of its reports: a status that is reported twice
/// carries the same time twice.
fn event_time(message: &Message, report: Report, step: Duration) -> Timestamp {
    message.accepted_at.checked_add(step.saturating_mul(report.step())).unwrap_or(Timestamp::MAX)
}

fn add_report<'a>(
    changes: &mut Vec<Change<'a>>,
    (pending, message): (&'a Pending, &'a Message),
    report: Report,
    at: Timestamp,
) {
    let (status, pricing, errors) = match report {
        Report::Reply(way, words) => return add_inbound(changes, pending, (way, words), at),
        // Evolution's alone.
        Report::Link(_) => return,
        Report::Sent => ("sent", None, Vec::new()),
        Report::Delivered => ("delivered", Some(FREE_OF_CHARGE), Vec::new()),
        Report::Read => ("read", None, Vec::new()),
        Report::Failed(fault) => ("failed", None, vec![fault.report()]),
    };
    change_for(changes, &pending.sender, Kind::Status).statuses.push(Status {
        id: &message.id,
        status,
        timestamp: at.as_second().to_string(),
        recipient_id: &pending.number,
        biz_opaque_callback_data: message.opaque.as_deref(),
        pricing,
        errors,
    });
}

fn add_inbound<'a>(
    changes: &mut Vec<Change<'a>>,
    pending: &'a Pending,
    (way, words): (Way, &'a str),
    at: Timestamp,
) {
    let value = change_for(changes, &pending.sender, Kind::Inbound);
    value.contacts.push(Contact { profile: Profile { name: PROFILE_NAME }, wa_id: &pending.number });
    value.messages.push(Inbound {
        from: &pending.number,
        id: message_id(&pending.number),
        timestamp: at.as_second().to_string(),
        r#type: if way == Way::Text { "text" } else { "interactive" },
        said: Said::new(way, words),
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Status,
    Inbound,
}

/// The last change, if it is of this sender and kind, else a new one.
fn change_for<'c, 'a>(changes: &'c mut Vec<Change<'a>>, sender: &'a str, kind: Kind) -> &'c mut Value<'a> {
    let fits = changes.last().is_some_and(|change| {
        let inbound = !change.value.messages.is_empty();
        change.value.metadata.phone_number_id == sender && inbound == (kind == Kind::Inbound)
    });
    let at = if fits { changes.len() - 1 } else { changes.len() };
    if !fits {
        let value = Value {
            messaging_product: "whatsapp",
            metadata: Metadata { display_phone_number: DISPLAY_NUMBER, phone_number_id: sender },
            contacts: Vec::new(),
            statuses: Vec::new(),
            messages: Vec::new(),
        };
        changes.push(Change { value, field: "messages" });
    }
    &mut changes[at].value
}
