//! The magic recipients: what the last four digits of a number make of a send.

use super::faults::Fault;

/// How the send is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with a message id.
    Accept,
    /// Refused that many times, then accepted.
    RefuseFirst(u32, Fault),
    /// Refused, always.
    Refuse(Fault),
    /// Accepted, but the connection stays silent until the client gives up.
    Hold,
    /// The connection closes once the request was read.
    Close,
    /// 200 in the right shape, without a message id.
    OmitId,
    /// 200 with a body that is not JSON.
    Garble,
    /// 200, and the connection breaks in the middle of the body.
    CutOff,
}

/// One thing reported by callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It left the provider.
    Sent,
    /// It reached a device.
    Delivered,
    /// The recipient saw it.
    Read,
    /// It could not be delivered after all.
    Failed(Fault),
    /// The recipient says this.
    Reply(Way, &'static str),
    /// Evolution: the instance's connection changes.
    Link(Link),
}

/// How somebody says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In writing.
    Text,
    /// By tapping a button that says it.
    Button,
    /// By choosing it from a list.
    Row,
}

/// How an instance of Evolution's is connected to WhatsApp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// It is.
    #[default]
    Open,
    /// It is about to be.
    Connecting,
    /// It is not: logged out.
    Close,
}

impl Link {
    /// Evolution's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Connecting => "connecting",
            Self::Close => "close",
        }
    }
}

impl Report {
    /// The place of this event in a message's life, in steps after the acceptance, whatever the order of reports.
    pub fn step(self) -> u32 {
        match self {
            Self::Sent => 1,
            Self::Delivered | Self::Failed(_) => 2,
            Self::Read | Self::Reply(..) | Self::Link(_) => 3,
        }
    }
}

/// What happens to a send: its answer, then its reports in the order they are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The answer to the HTTP call.
    pub answer: Answer,
    /// The callbacks that follow an acceptance.
    pub reports: &'static [Report],
}

/// The way of an ordinary message.
const READ: &[Report] = &[Report::Sent, Report::Delivered, Report::Read];

impl Script {
    /// The script for a recipient's number, given as digits.
    pub fn of(number: &str) -> Self {
        use Answer::{Accept, Close, CutOff, Garble, Hold, OmitId, Refuse, RefuseFirst};
        use Report::{Delivered, Failed, Read, Reply, Sent};
        use Way::{Button, Row, Text};

        let ending = number.get(number.len().saturating_sub(4)..).unwrap_or_default();
        let (answer, reports): (Answer, &'static [Report]) = match ending {
            "0002" => (Accept, &[Sent, Delivered]),
            "0003" => (Accept, &[]),
            "0004" => (Accept, &[Failed(Fault::Undeliverable)]),
            "0005" => (Accept, &[Sent, Failed(Fault::Undeliverable)]),

            "0010" => (Refuse(Fault::InvalidValue), &[]),
            "0011" => (Refuse(Fault::Undeliverable), &[]),
            "0012" => (Refuse(Fault::WindowClosed), &[]),

            "0020" => (RefuseFirst(1, Fault::Throttled), READ),
            "0021" => (RefuseFirst(1, Fault::PairLimited), READ),
            "0022" => (RefuseFirst(2, Fault::Unavailable), READ),
            "0023" => (Refuse(Fault::ServiceDown), &[]),

            "0030" => (Hold, READ),
            "0031" => (Hold, &[]),
            "0032" => (Close, &[]),
            "0033" => (OmitId, &[]),
            "0034" => (Garble, &[]),
            "0035" => (CutOff, &[]),

            "0040" => (Refuse(Fault::TokenExpired), &[]),

            "0050" => (Accept, &[Sent, Delivered, Reply(Text, "STOP")]),
            "0051" => (Accept, &[Sent, Delivered, Reply(Text, "إيقاف")]),
            "0052" => (Accept, &[Sent, Delivered, Reply(Text, "START")]),
            "0053" => (Accept, &[Sent, Delivered, Reply(Button, "STOP")]),
            "0054" => (Accept, &[Sent, Delivered, Reply(Row, "STOP")]),
            "0055" => (Accept, &[Sent, Delivered, Reply(Button, "START")]),
            "0056" => (Accept, &[Sent, Delivered, Reply(Row, "START")]),

            "0060" => (Accept, &[Read, Delivered, Sent, Sent]),

            _ => (Accept, READ),
        };
        Self { answer, reports }
    }
}

/// Every ending that means something, for the tests that go through all of them.
#[cfg(test)]
pub const ENDINGS: [&str; 27] = [
    "0001", "0002", "0003", "0004", "0005", "0010", "0011", "0012", "0020", "0021", "0022", "0023", "0030",
    "0031", "0032", "0033", "0034", "0035", "0040", "0050", "0051", "0052", "0053", "0054", "0055", "0056",
    "0060",
];

#[cfg(test)]
mod tests {
    use rlibphonenumber::PHONE_NUMBER_UTIL;

    use super::{Answer, ENDINGS, READ, Report, Script, Way};
    use crate::sandbox::faults::Fault;

    fn assert_script(ending: &str, answer: Answer, reports: &[Report]) {
        let script = Script::of(&format!("96650123{ending}"));
        assert_eq!((script.answer, script.reports), (answer, reports), "…{ending}");
    }

    macro_rules! row {
        ($name:ident, $ending:literal, $answer:expr, $reports:expr) => {
            #[test]
            fn $name() {
                assert_script($ending, $answer, $reports);
            }
        };
    }

    row!(an_ordinary_number_reads, "4711", Answer::Accept, READ);
    row!(ending_0001_reads, "0001", Answer::Accept, READ);
    row!(ending_0002_never_reads, "0002", Answer::Accept, &[Report::Sent, Report::Delivered]);
    row!(ending_0003_stays_silent, "0003", Answer::Accept, &[]);
    row!(ending_0004_fails_later, "0004", Answer::Accept, &[Report::Failed(Fault::Undeliverable)]);
    row!(
        ending_0005_fails_later_still,
        "0005",
        Answer::Accept,
        &[Report::Sent, Report::Failed(Fault::Undeliverable)]
    );
    row!(ending_0010_is_refused, "0010", Answer::Refuse(Fault::InvalidValue), &[]);
    row!(ending_0011_is_not_on_whatsapp, "0011", Answer::Refuse(Fault::Undeliverable), &[]);
    row!(ending_0012_has_a_closed_window, "0012", Answer::Refuse(Fault::WindowClosed), &[]);
    row!(ending_0020_is_throttled_once, "0020", Answer::RefuseFirst(1, Fault::Throttled), READ);
    row!(ending_0021_meets_the_pair_limit_once, "0021", Answer::RefuseFirst(1, Fault::PairLimited), READ);
    row!(ending_0022_is_unavailable_twice, "0022", Answer::RefuseFirst(2, Fault::Unavailable), READ);
    row!(ending_0023_is_always_down, "0023", Answer::Refuse(Fault::ServiceDown), &[]);
    row!(ending_0030_is_held_and_reported, "0030", Answer::Hold, READ);
    row!(ending_0031_is_held, "0031", Answer::Hold, &[]);
    row!(ending_0032_is_closed, "0032", Answer::Close, &[]);
    row!(ending_0033_gets_no_id, "0033", Answer::OmitId, &[]);
    row!(ending_0034_gets_garbage, "0034", Answer::Garble, &[]);
    row!(ending_0035_gets_half_an_answer, "0035", Answer::CutOff, &[]);
    row!(ending_0040_has_an_expired_token, "0040", Answer::Refuse(Fault::TokenExpired), &[]);
    row!(
        ending_0050_writes_stop,
        "0050",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Text, "STOP")]
    );
    row!(
        ending_0051_writes_stop_in_arabic,
        "0051",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Text, "\u{625}\u{64a}\u{642}\u{627}\u{641}")]
    );
    row!(
        ending_0052_writes_start,
        "0052",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Text, "START")]
    );
    row!(
        ending_0053_taps_stop,
        "0053",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Button, "STOP")]
    );
    row!(
        ending_0054_chooses_stop,
        "0054",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Row, "STOP")]
    );
    row!(
        ending_0055_taps_start,
        "0055",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Button, "START")]
    );
    row!(
        ending_0056_chooses_start,
        "0056",
        Answer::Accept,
        &[Report::Sent, Report::Delivered, Report::Reply(Way::Row, "START")]
    );
    row!(
        ending_0060_is_reported_out_of_order_and_twice,
        "0060",
        Answer::Accept,
        &[Report::Read, Report::Delivered, Report::Sent, Report::Sent]
    );

    #[test]
    fn the_module_page_lists_every_ending() {
        let page = include_str!("mod.rs");
        for ending in ENDINGS {
            assert!(page.contains(&format!("//! | `{ending}`")), "…{ending} is not on the page");
        }
    }

    #[test]
    fn magic_numbers_are_valid_saudi_mobiles() {
        for ending in ENDINGS {
            let number = PHONE_NUMBER_UTIL.parse(format!("+96650123{ending}"), None).expect("a number");
            assert!(PHONE_NUMBER_UTIL.is_valid_number(&number), "…{ending}");
        }
    }

    #[test]
    fn a_number_shorter_than_an_ending_is_ordinary() {
        assert_eq!(Script::of("2").reports, READ);
    }
}
