//! What customers are told, and how it is written down for them.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// The kinds of event a webhook endpoint can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A message's status rose.
    #[value(name = "message.status_updated")]
    MessageStatusUpdated,
    /// A message reached a device.
    #[value(name = "message.delivered")]
    MessageDelivered,
    /// A message was shown.
    #[value(name = "message.read")]
    MessageRead,
    /// A recipient asked for no more messages.
    #[value(name = "recipient.opted_out")]
    RecipientOptedOut,
    /// A recipient asked for messages again.
    #[value(name = "recipient.opted_in")]
    RecipientOptedIn,
    /// An instance waits for a review.
    #[value(name = "instance.paused")]
    InstancePaused,
    /// An instance's connection changed.
    #[value(name = "instance.connection_updated")]
    InstanceConnectionUpdated,
}

impl Kind {
    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageStatusUpdated => "message.status_updated",
            Self::MessageDelivered => "message.delivered",
            Self::MessageRead => "message.read",
            Self::RecipientOptedOut => "recipient.opted_out",
            Self::RecipientOptedIn => "recipient.opted_in",
            Self::InstancePaused => "instance.paused",
            Self::InstanceConnectionUpdated => "instance.connection_updated",
        }
    }
}

/// An event as it is stored, with what its webhook shows of the instance and the message.
#[derive(Clone, Debug)]
pub struct Event {
    /// The same for every endpoint and attempt: customers recognise repeats by it.
    pub event_id: Uuid,
    /// The name of the kind.
    pub kind: String,
    /// The instance it is about.
    pub instance_id: String,
    /// The instance's name when it is told.
    pub instance_name: String,
    /// The message it is about.
    pub message_id: Option<Uuid>,
    /// The policy-log row of that message.
    pub log_id: Option<i64>,
    /// E.164 digits of the recipient or the writer.
    pub recipient: Option<String>,
    /// The status after the rise; for a connection, its new state.
    pub status: Option<String>,
    /// The status before it.
    pub previous_status: Option<String>,
    /// How many rises the message has had.
    pub sequence: Option<i16>,
    /// Why it failed, as an error code.
    pub error: Option<String>,
    /// Why a recipient or an instance changed.
    pub reason: Option<String>,
    /// What the person wrote.
    pub message_text: Option<String>,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

#[derive(Serialize)]
struct MessageEvent<'a> {
    event: &'a str,
    event_id: Uuid,
    instance_id: &'a str,
    instance_name: &'a str,
    message_id: Option<Uuid>,
    log_id: Option<i64>,
    to: Option<String>,
    status: Option<&'a str>,
    previous_status: Option<&'a str>,
    error: Option<&'a str>,
    sequence: Option<i16>,
    request_id: Option<&'a str>,
    timestamp: String,
}

/// The seed's shape to the letter: its keys, in its order, and no others.
#[derive(Serialize)]
struct RecipientEvent<'a> {
    event: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    from: Option<String>,
    reason: Option<&'a str>,
    message_text: Option<&'a str>,
    timestamp: String,
}

#[derive(Serialize)]
struct InstanceEvent<'a> {
    event: &'a str,
    event_id: Uuid,
    instance_id: &'a str,
    instance_name: &'a str,
    connection: Option<&'a str>,
    previous_connection: Option<&'a str>,
    reason: Option<&'a str>,
    timestamp: String,
}

impl Event {
    /// The body of the webhook: flat JSON in the documents' manner.
    #[must_use]
    pub fn payload(&self) -> String {
        let phone = self.recipient.as_ref().map(|digits| format!("+{digits}"));
        let timestamp = self.occurred_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let json = if self.kind.starts_with("recipient.") {
            serde_json::to_string(&RecipientEvent {
                event: &self.kind,
                instance_id: &self.instance_id,
                instance_name: &self.instance_name,
                from: phone,
                reason: self.reason.as_deref(),
                message_text: self.message_text.as_deref(),
                timestamp,
            })
        } else if self.kind.starts_with("instance.") {
            serde_json::to_string(&InstanceEvent {
                event: &self.kind,
                event_id: self.event_id,
                instance_id: &self.instance_id,
                instance_name: &self.instance_name,
                connection: self.status.as_deref(),
                previous_connection: self.previous_status.as_deref(),
                reason: self.reason.as_deref(),
                timestamp,
            })
        } else {
            serde_json::to_string(&MessageEvent {
                event: &self.kind,
                event_id: self.event_id,
                instance_id: &self.instance_id,
                instance_name: &self.instance_name,
                message_id: self.message_id,
                log_id: self.log_id,
                to: phone,
                status: self.status.as_deref(),
                previous_status: self.previous_status.as_deref(),
                error: self.error.as_deref(),
                sequence: self.sequence,
                request_id: self.request_id.as_deref(),
                timestamp,
            })
        };
        json.expect("structs of strings and numbers always serialise")
    }
}
