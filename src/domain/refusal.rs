//! The error catalogue: every answer that is not a success, in the one shape `{success, error, message, details}`.

use serde::Serialize;

use super::account::Usage;

/// Why a request is not served. Variants up to `Internal` are the documents' catalogue, in its order, which is
/// also the precedence when several apply; the rest are about HTTP itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 415: the body is not declared as JSON.
    UnsupportedMediaType,
    /// 401: no key, or none of ours.
    InvalidApiKey,
    /// 401: a key that was revoked.
    RevokedApiKey,
    /// 400: the body is not JSON, or ambiguous.
    InvalidJson,
    /// 422: exactly these fields are missing or invalid.
    Validation(Vec<String>),
    /// 403: API access is not part of what the account has.
    ModuleNotEnabled,
    /// 402: no plan, or the account is suspended.
    ActivePlanRequired,
    /// 404: no such instance of this account.
    InvalidInstance,
    /// 422: no `message_purpose`.
    PurposeRequired,
    /// 422: a `message_purpose` that is not one of the five.
    PurposeNotAllowed,
    /// 429: the day's allowance is used up.
    DailyLimit(Usage),
    /// 429: the month's allowance is used up.
    MonthlyLimit(Usage),
    /// 403: the recipient opted out.
    RecipientSuppressed,
    /// 429: too much at once: the sender's backlog, one-time codes to one person, or what the rules found.
    SendingThrottled {
        /// Seconds until the request is worth repeating, where known.
        retry_after: Option<u32>,
        /// What the rules found, at least 65.
        risk_score: u8,
    },
    /// 423: the instance waits for a review.
    InstancePaused,
    /// 403: the rules found it to be what is not sent here.
    PolicyViolation {
        /// What the rules found, at least 90.
        risk_score: u8,
    },
    /// 502: the connection is closed, or the provider refused for good.
    GatewaySendFailed,
    /// 500: our own failure; nothing was done.
    Internal,
    /// 503: more is asked at once than this process works on; nothing was done.
    Overloaded,
    /// 422: the `Idempotency-Key` was used with another body.
    IdempotencyKeyReused,
    /// 401: a provider called an address of no instance.
    UnknownCallbackToken,
    /// 429: too many wrong keys came from there; says of this one only that it is none of ours.
    TooManyWrongKeys {
        /// Seconds until the next wrong key is answered as one.
        retry_after: u32,
    },
    /// 404: no such path.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 408: the request took too long to arrive.
    RequestTimeout,
    /// 413: the body is larger than 64 KiB.
    PayloadTooLarge,
    /// 431: too many request headers, or too large.
    HeadersTooLarge,
}

/// How a decision is called in the policy log and in `details.action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Accepted.
    Allow,
    /// Slow down.
    Throttle,
    /// Not this message.
    Block,
    /// Nothing from this instance until somebody has looked.
    PauseInstance,
}

impl Action {
    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Throttle => "throttle",
            Self::Block => "block",
            Self::PauseInstance => "pause_instance",
        }
    }
}

/// The body of an error answer; the order of the fields is the documents'.
#[derive(Debug, Serialize)]
pub struct Body<'a> {
    success: bool,
    error: &'static str,
    message: &'static str,
    details: Details<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Nothing([(); 0]),
    Fields { fields: &'a [String] },
    Module { module: &'static str, status: &'static str },
    Judged { action: Action, risk_score: u8 },
    Limited { action: Action, risk_score: u8, limit: i32, used: i32 },
}

/// `(code, HTTP status, message)` of a refusal.
type Entry = (&'static str, u16, &'static str);

impl Refusal {
    fn entry(&self) -> Entry {
        match self {
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", 415, "This endpoint requires application/json.")
            }
            Self::InvalidApiKey => ("invalid_api_key", 401, "A valid API key is required."),
            Self::RevokedApiKey => ("revoked_api_key", 401, "This API key has been revoked."),
            Self::InvalidJson => ("invalid_json", 400, "Request body must be valid JSON."),
            Self::Validation(_) => {
                ("validation_error", 422, "The request payload is missing required fields.")
            }
            Self::ModuleNotEnabled => {
                ("module_not_enabled", 403, "API access is not enabled for this account.")
            }
            Self::ActivePlanRequired => {
                ("active_plan_required", 402, "An active plan is required before sending messages.")
            }
            Self::InvalidInstance => {
                ("invalid_instance", 404, "The requested instance was not found for this API key.")
            }
            Self::GatewaySendFailed => (
                "gateway_send_failed",
                502,
                "The message passed responsible messaging checks, but delivery could not be completed. Please try again or contact support.",
            ),
            Self::Internal => (
                "internal_error",
                500,
                "The request could not be processed. Please try again or contact support.",
            ),
            Self::Overloaded => (
                "overloaded",
                503,
                "More requests arrive than can be worked on. Please try again in a moment.",
            ),
            Self::PurposeRequired
            | Self::PurposeNotAllowed
            | Self::DailyLimit(_)
            | Self::MonthlyLimit(_)
            | Self::RecipientSuppressed
            | Self::SendingThrottled { .. }
            | Self::InstancePaused
            | Self::PolicyViolation { .. } => self.judged_entry(),
            Self::IdempotencyKeyReused
            | Self::UnknownCallbackToken
            | Self::TooManyWrongKeys { .. }
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::PayloadTooLarge
            | Self::HeadersTooLarge => self.transport_entry(),
        }
    }

    fn judged_entry(&self) -> Entry {
        match self {
            Self::PurposeRequired => (
                "message_purpose_required",
                422,
                "message_purpose is required. Allowed values are transactional, operational, support, internal_team, and authentication.",
            ),
            Self::PurposeNotAllowed => (
                "message_purpose_not_allowed",
                422,
                "WhatsApp Gateway does not support marketing, cold outreach, political, or bulk campaign messaging.",
            ),
            Self::DailyLimit(_) => (
                "daily_message_limit_exceeded",
                429,
                "Your daily transactional message limit has been reached. Please try again tomorrow or request a higher reviewed limit.",
            ),
            Self::MonthlyLimit(_) => (
                "monthly_message_limit_exceeded",
                429,
                "Your monthly fair-use message limit has been reached. Please contact support for a reviewed higher limit.",
            ),
            Self::RecipientSuppressed => (
                "recipient_suppressed",
                403,
                "This recipient has opted out or has been blocked from non-essential messages.",
            ),
            Self::SendingThrottled { .. } => (
                "sending_throttled",
                429,
                "Sending speed has been temporarily limited to protect gateway reliability and prevent bulk messaging.",
            ),
            Self::InstancePaused => (
                "instance_paused_for_review",
                423,
                "This instance has been paused for responsible messaging review.",
            ),
            _ => (
                "policy_violation",
                403,
                "This message appears to violate WhatsApp Gateway responsible messaging rules. Bulk marketing, spam, and cold outreach are not allowed.",
            ),
        }
    }

    fn transport_entry(&self) -> Entry {
        match self {
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                422,
                "This Idempotency-Key was already used with a different request body.",
            ),
            Self::UnknownCallbackToken => {
                ("invalid_callback_token", 401, "This is the callback address of no instance.")
            }
            Self::TooManyWrongKeys { .. } => (
                "too_many_invalid_keys",
                429,
                "Too many invalid API keys were tried. A valid API key is required.",
            ),
            Self::NotFound => ("not_found", 404, "There is nothing at this path."),
            Self::MethodNotAllowed => {
                ("method_not_allowed", 405, "This path does not support the request method.")
            }
            Self::RequestTimeout => ("request_timeout", 408, "The request took too long to arrive."),
            Self::PayloadTooLarge => {
                ("payload_too_large", 413, "The request body is larger than this endpoint accepts.")
            }
            _ => ("headers_too_large", 431, "The request has too many headers, or they are too large."),
        }
    }

    /// The machine-readable name of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.entry().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.entry().1
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        let (error, _, message) = self.entry();
        Body { success: false, error, message, details: self.details() }
    }

    fn details(&self) -> Details<'_> {
        match self {
            Self::Validation(fields) => Details::Fields { fields },
            Self::ModuleNotEnabled => Details::Module { module: "api_access", status: "not_in_plan" },
            Self::DailyLimit(usage) | Self::MonthlyLimit(usage) => Details::Limited {
                action: self.action(),
                risk_score: self.risk_score(),
                limit: usage.limit,
                used: usage.used,
            },
            Self::PurposeRequired
            | Self::PurposeNotAllowed
            | Self::RecipientSuppressed
            | Self::SendingThrottled { .. }
            | Self::InstancePaused
            | Self::PolicyViolation { .. } => {
                Details::Judged { action: self.action(), risk_score: self.risk_score() }
            }
            _ => Details::Nothing([]),
        }
    }

    /// How the decision is called in the policy log.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::SendingThrottled { .. } => Action::Throttle,
            Self::InstancePaused => Action::PauseInstance,
            _ => Action::Block,
        }
    }

    /// The score shown beside the action, 0 to 100.
    #[must_use]
    pub fn risk_score(&self) -> u8 {
        match self {
            Self::PurposeNotAllowed | Self::RecipientSuppressed | Self::InstancePaused => 100,
            Self::DailyLimit(_) | Self::MonthlyLimit(_) => 90,
            Self::SendingThrottled { risk_score, .. } | Self::PolicyViolation { risk_score } => *risk_score,
            _ => 0,
        }
    }

    /// Seconds for the `Retry-After` header, where a time is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::DailyLimit(usage) | Self::MonthlyLimit(usage) => Some(usage.ends_in),
            Self::SendingThrottled { retry_after, .. } => *retry_after,
            Self::TooManyWrongKeys { retry_after } => Some(*retry_after),
            Self::Internal => Some(5),
            Self::Overloaded => Some(1),
            _ => None,
        }
    }
}
