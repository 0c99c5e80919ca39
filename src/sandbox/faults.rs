//! Meta's errors: the codes the sandbox can give, and the two shapes they travel in.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error Meta knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 2: the service is down or overloaded.
    ServiceDown,
    /// 100: a parameter is unsupported, misspelled or too long.
    InvalidParameter,
    /// 100 with subcode 33: the object named in the URL does not exist.
    NoSuchObject,
    /// 190: the access token expired, or is not one.
    TokenExpired,
    /// 130429: the sender's throughput is used up.
    Throttled,
    /// 131000: something went wrong.
    Unknown,
    /// 131008: a required parameter is missing.
    MissingParameter,
    /// 131009: a parameter has a value that is not valid.
    InvalidValue,
    /// 131016: the service is temporarily unavailable.
    Unavailable,
    /// 131026: the recipient is not on WhatsApp, or cannot be reached there.
    Undeliverable,
    /// 131047: more than 24 hours since the recipient last wrote.
    WindowClosed,
    /// 131051: the message type is not supported.
    UnsupportedType,
    /// 131056: too many messages from this sender to this recipient.
    PairLimited,
}

/// What Meta says about one error.
struct Entry {
    status: StatusCode,
    code: u32,
    title: &'static str,
    details: &'static str,
}

impl Fault {
    /// Meta's number for it.
    pub fn code(self) -> u32 {
        self.entry().code
    }

    /// The same error with a sentence of its own.
    pub fn because(self, details: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { fault: self, details: details.into() }
    }

    /// The error as an item of `statuses[].errors`.
    pub fn report(self) -> ReportedError {
        let entry = self.entry();
        ReportedError {
            code: entry.code,
            title: entry.title,
            message: entry.title,
            error_data: ReportedDetails { details: entry.details },
            href: "/documentation/business-messaging/whatsapp/support/error-codes",
        }
    }

    fn entry(self) -> Entry {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const BROKEN: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

        let (status, code, title, details) = match self {
            Self::ServiceDown => (StatusCode::SERVICE_UNAVAILABLE, 2, "Service temporarily unavailable", ""),
            Self::InvalidParameter => (BAD, 100, "Invalid parameter", "The request is not valid."),
            Self::NoSuchObject => (BAD, 100, "Unsupported request", ""),
            Self::TokenExpired => {
                (StatusCode::UNAUTHORIZED, 190, "Error validating access token: Session has expired.", "")
            }
            Self::Throttled => {
                (BAD, 130_429, "Rate limit hit", "Cloud API message throughput has been reached.")
            }
            Self::Unknown => {
                (BROKEN, 131_000, "Something went wrong", "Message failed to send due to an unknown error.")
            }
            Self::MissingParameter => {
                (BAD, 131_008, "Required parameter is missing", "A required parameter is missing.")
            }
            Self::InvalidValue => {
                (BAD, 131_009, "Parameter value is not valid", "One or more parameter values are invalid.")
            }
            Self::Unavailable => {
                (BROKEN, 131_016, "Service unavailable", "A service is temporarily unavailable.")
            }
            Self::Undeliverable => (BAD, 131_026, "Message undeliverable", "Message Undeliverable."),
            Self::WindowClosed => (
                BAD,
                131_047,
                "Re-engagement message",
                "Message failed to send because more than 24 hours have passed since the customer last replied \
                 to this number.",
            ),
            Self::UnsupportedType => {
                (BAD, 131_051, "Unsupported message type", "This message type is not supported.")
            }
            Self::PairLimited => (
                BAD,
                131_056,
                "(Business Account, Consumer Account) pair rate limit hit",
                "Too many messages sent from this phone number to the same phone number in a short period of time.",
            ),
        };
        Entry { status, code, title, details }
    }
}

/// An error as an item of `statuses[].errors`.
#[derive(Debug, Serialize)]
pub struct ReportedError {
    code: u32,
    title: &'static str,
    message: &'static str,
    error_data: ReportedDetails,
    href: &'static str,
}

#[derive(Debug, Serialize)]
struct ReportedDetails {
    details: &'static str,
}

/// An error as the answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    fault: Fault,
    details: Cow<'static, str>,
}

impl Refusal {
    /// Meta's number for it.
    pub fn code(&self) -> u32 {
        self.fault.code()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        fault.because(fault.entry().details)
    }
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: ErrorFields<'a>,
}

/// Meta's fields in Meta's order. The generic errors of the Graph API carry no `error_data`.
#[derive(Serialize)]
struct ErrorFields<'a> {
    message: String,
    r#type: &'static str,
    code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<ErrorData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_subcode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_transient: Option<bool>,
    fbtrace_id: String,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    messaging_product: &'static str,
    details: &'a str,
}

impl Refusal {
    fn fields(&self) -> ErrorFields<'_> {
        let Entry { code, title, .. } = self.fault.entry();
        let generic = |message: &str| ErrorFields {
            message: message.to_owned(),
            r#type: "OAuthException",
            code,
            error_data: None,
            error_subcode: None,
            is_transient: None,
            // Opaque to the client; as long as Meta's.
            fbtrace_id: format!("A{:022x}", rand::random::<u128>() >> 40),
        };
        match self.fault {
            Fault::ServiceDown => {
                ErrorFields { is_transient: Some(true), ..generic(&format!("(#{code}) {title}")) }
            }
            Fault::TokenExpired => ErrorFields { error_subcode: Some(463), ..generic(title) },
            Fault::NoSuchObject => ErrorFields {
                r#type: "GraphMethodException",
                error_subcode: Some(33),
                ..generic(&self.details)
            },
            _ => ErrorFields {
                error_data: Some(ErrorData { messaging_product: "whatsapp", details: &self.details }),
                ..generic(&format!("(#{code}) {title}"))
            },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.fields();
        (self.fault.entry().status, Json(ErrorAnswer { error })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Fault, Refusal};

    fn answer(refusal: &Refusal) -> Value {
        let mut fields = serde_json::to_value(refusal.fields()).expect("plain fields");
        let trace = fields["fbtrace_id"].take();
        assert_eq!(trace.as_str().map(str::len), Some(23));
        fields.as_object_mut().expect("an object").remove("fbtrace_id");
        fields
    }

    #[test]
    fn a_whatsapp_error_carries_its_details() {
        assert_eq!(
            answer(&Fault::Throttled.into()),
            json!({
                "message": "(#130429) Rate limit hit",
                "type": "OAuthException",
                "code": 130_429,
                "error_data": {
                    "messaging_product": "whatsapp",
                    "details": "Cloud API message throughput has been reached."
                },
            })
        );
    }

    #[test]
    fn a_generic_error_carries_none() {
        assert_eq!(
            answer(&Fault::TokenExpired.into()),
            json!({
                "message": "Error validating access token: Session has expired.",
                "type": "OAuthException",
                "code": 190,
                "error_subcode": 463,
            })
        );
        assert_eq!(
            answer(&Fault::ServiceDown.into()),
            json!({
                "message": "(#2) Service temporarily unavailable",
                "type": "OAuthException",
                "code": 2,
                "is_transient": true,
            })
        );
        assert_eq!(
            answer(&Fault::NoSuchObject.because("Object with ID 'x' does not exist.")),
            json!({
                "message": "Object with ID 'x' does not exist.",
                "type": "GraphMethodException",
                "code": 100,
                "error_subcode": 33,
            })
        );
    }

    #[test]
    fn a_reported_error_has_the_shape_of_a_failed_status() {
        assert_eq!(
            serde_json::to_value(Fault::Undeliverable.report()).expect("plain fields"),
            json!({
                "code": 131_026,
                "title": "Message undeliverable",
                "message": "Message undeliverable",
                "error_data": { "details": "Message Undeliverable." },
                "href": "/documentation/business-messaging/whatsapp/support/error-codes",
            })
        );
    }
}
