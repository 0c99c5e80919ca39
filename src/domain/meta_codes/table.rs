//! The codes themselves, in the order of Meta's own page.

use std::time::Duration;

use super::FEW_ATTEMPTS;
use crate::domain::outcome::{Class, Scope};

/// One line of the table: a code, or a range of them, and its reading.
#[derive(Clone, Copy)]
pub(super) struct Row {
    first: i32,
    last: i32,
    pub(super) class: Class,
    /// Becomes the failure's reason: our own words, safe for logs.
    pub(super) note: &'static str,
    pub(super) wait: Option<Duration>,
    pub(super) limit: Option<u8>,
    pub(super) opt_out: bool,
    pub(super) scope: Scope,
}

pub(super) const fn row(code: i32, class: Class, note: &'static str) -> Row {
    Row {
        first: code,
        last: code,
        class,
        note,
        wait: None,
        limit: None,
        opt_out: false,
        scope: class.scope(),
    }
}

impl Row {
    /// Whether this row speaks of `code`.
    pub(super) fn covers(&self, code: i32) -> bool {
        (self.first..=self.last).contains(&code)
    }

    const fn to(self, last: i32) -> Self {
        Self { last, ..self }
    }

    pub(super) const fn wait(self, seconds: u64) -> Self {
        Self { wait: Some(Duration::from_secs(seconds)), ..self }
    }

    pub(super) const fn limit(self, attempts: u8) -> Self {
        Self { limit: Some(attempts), ..self }
    }

    const fn opt_out(self) -> Self {
        Self { opt_out: true, ..self }
    }

    const fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }
}

// Waits in seconds, for answers that carry no time of their own. Where no source is named, Meta names no time and the
// choice is ours.

/// Message throughput is counted per second, so a limit hit there is over soon.
const THROUGHPUT_PAUSE: u64 = 5;
/// A rate limit of unknown kind.
pub(super) const SHORT_PAUSE: u64 = 30;
/// Meta puts maintenance (a throughput upgrade) at about a minute.
const MAINTENANCE_PAUSE: u64 = 60;
/// Call limits of the app and the account are counted over a rolling hour.
const CALL_LIMIT_PAUSE: u64 = 5 * 60;
/// Limits set as a sanction last hours; trying earlier only prolongs them.
const SANCTION_PAUSE: u64 = 4 * 60 * 60;
/// Meta's word for a number that was deleted a moment ago.
const DELETION_PAUSE: u64 = 5 * 60;
/// Meta asks for at least a day before the same person is tried again.
const COOL_DOWN: u64 = 24 * 60 * 60;

/// 100 with subcode 33 and type `GraphMethodException`: the object in the URL, which is the sender, is not there.
pub(super) const OBJECT_MISSING: Row =
    row(100, Class::Instance, "phone number id unknown, or hidden from the token");

/// What each code means. A code is in at most one row.
pub(super) const CODES: &[Row] = &[
    row(0, Class::Instance, "app user not authenticated: token expired or revoked, or app blocked"),
    row(1, Class::Retry, "unknown API error").limit(3),
    row(2, Class::Retry, "service down or overloaded"),
    row(3, Class::Instance, "app lacks the capability"),
    row(4, Class::ThrottleSender, "app reached its call limit").wait(CALL_LIMIT_PAUSE).scope(Scope::App),
    row(10, Class::Instance, "permission missing or removed"),
    row(33, Class::Instance, "business phone number deleted"),
    row(100, Class::Permanent, "parameter unsupported, misspelled or too long"),
    row(102, Class::Instance, "session missing or expired"),
    row(104, Class::Instance, "access token missing"),
    row(190, Class::Instance, "access token expired or invalid"),
    row(200, Class::Instance, "permission not granted").to(299),
    row(368, Class::Instance, "account restricted for a policy violation"),
    row(80007, Class::ThrottleSender, "account reached its rate limit")
        .wait(CALL_LIMIT_PAUSE)
        .scope(Scope::Account),
    row(130403, Class::Recipient, "recipient blocked by the business"),
    row(130429, Class::ThrottleSender, "phone number reached its throughput").wait(THROUGHPUT_PAUSE),
    row(130472, Class::Recipient, "recipient is in an experiment without this kind of message"),
    row(130497, Class::Permanent, "account may not message this country"),
    row(131000, Class::Retry, "unknown failure").limit(FEW_ATTEMPTS),
    row(131005, Class::Instance, "access denied, permission missing"),
    row(131008, Class::Permanent, "required parameter missing"),
    row(131009, Class::Permanent, "parameter value invalid"),
    row(131016, Class::Retry, "service temporarily unavailable"),
    row(131021, Class::Permanent, "recipient is the sender"),
    row(131026, Class::Recipient, "not reachable on WhatsApp"),
    row(131030, Class::Recipient, "recipient not on the test number's allow list"),
    row(131031, Class::Instance, "account locked"),
    row(131037, Class::Instance, "test number without an approved display name"),
    row(131042, Class::Instance, "payment problem of the account"),
    row(131045, Class::Instance, "phone number's registration or certificate is broken"),
    row(131047, Class::Window, "more than 24 hours since the recipient's last message"),
    row(131048, Class::Instance, "sender restricted after blocks and reports").wait(SANCTION_PAUSE),
    row(131049, Class::Recipient, "withheld to limit what this recipient gets")
        .wait(COOL_DOWN)
        .scope(Scope::Pair),
    row(131050, Class::Recipient, "recipient stopped marketing messages").opt_out(),
    row(131051, Class::Permanent, "message type unsupported"),
    row(131052, Class::Permanent, "media from the user not downloadable"),
    row(131053, Class::Permanent, "media upload failed"),
    row(131055, Class::Permanent, "method not allowed"),
    row(131056, Class::ThrottlePair, "too many messages to this recipient"),
    row(131057, Class::Retry, "account in maintenance").wait(MAINTENANCE_PAUSE).scope(Scope::Sender),
    row(131062, Class::Permanent, "this kind of message needs a phone number"),
    row(131063, Class::Instance, "marketing templates disabled"),
    row(131064, Class::ThrottleSender, "account limited for misclassified templates")
        .wait(SANCTION_PAUSE)
        .scope(Scope::Account),
    row(132000, Class::Permanent, "template parameter count differs"),
    row(132001, Class::Permanent, "template missing in this language or not approved"),
    row(132005, Class::Permanent, "template text too long once filled in"),
    row(132007, Class::Permanent, "template violates the content policy"),
    row(132008, Class::Permanent, "template parameter values badly formed"),
    row(132012, Class::Permanent, "template parameter format differs"),
    row(132015, Class::Permanent, "template paused for low quality"),
    row(132016, Class::Permanent, "template disabled"),
    row(132018, Class::Permanent, "template not valid"),
    row(132068, Class::Permanent, "flow blocked"),
    row(132069, Class::ThrottleSender, "flow throttled").wait(SHORT_PAUSE),
    row(133000, Class::Instance, "an earlier deregistration did not complete"),
    row(133004, Class::Retry, "server temporarily unavailable"),
    row(133005, Class::Instance, "registration PIN wrong"),
    row(133006, Class::Instance, "phone number needs verification"),
    row(133008, Class::Instance, "too many PIN tries"),
    row(133009, Class::Instance, "PIN tried too fast"),
    row(133010, Class::Instance, "phone number not registered"),
    row(133015, Class::Instance, "phone number deleted a moment ago").wait(DELETION_PAUSE),
    row(133016, Class::Instance, "too many registrations"),
    row(134011, Class::Instance, "payment terms not accepted"),
    row(135000, Class::Permanent, "request parameters refused"),
    row(137000, Class::Recipient, "recipient's identity key changed"),
];
