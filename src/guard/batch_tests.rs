//! Batches of any kind: no verdict beyond the limits, no count without a bound, no panic.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use uuid::Uuid;

use super::batch::{Batch, CodeLimits, Ruling};
use crate::domain::account::{Limits, Periods};
use crate::domain::instance::Connection;
use crate::domain::purpose::Purpose;
use crate::domain::refusal::Refusal;
use crate::domain::rules::Rules;
use crate::store::acceptance::{Asks, Contact, Draft, Keys, Known, NewMessage};

static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| Arc::new(Rules::builtin()));

const CODE_LIMITS: CodeLimits = CodeLimits { ten_minutes: 5, day: 15 };

/// A draft of the one account: to this recipient, with this text, for this purpose.
fn draft(recipient: i64, text: i64, purpose: Purpose, day_limit: i32) -> Draft {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let message = NewMessage {
        message_id: Uuid::now_v7(),
        recipient: recipient.to_string(),
        recipient_hash: Vec::new(),
        template: None,
        body: String::new(),
        purpose,
        validity_seconds: 60,
        idempotency: None,
        rules: Arc::clone(&RULES),
        signals: Vec::new(),
        keys: Keys { text, recipient, instance: 1 },
    };
    Draft {
        account_id: 1,
        key_id: Uuid::nil(),
        request_id: String::new(),
        instance_id: Some("i".to_owned()),
        purpose: Some(purpose),
        limits: Some(Limits { day: day_limit, month: 1_000_000 }),
        periods: Periods::at(now, &TimeZone::UTC),
        asks: Asks::Message(Box::new(message)),
    }
}

fn known() -> Known {
    Known {
        used: Some((0, 0)),
        duplicate: false,
        suppressed: false,
        internal: false,
        contact: Contact::Fresh,
        backlog_ms: 0,
        interval: std::time::Duration::ZERO,
        paused: false,
        connection: Some(Connection::Open),
    }
}

/// What became of it: `None` for accepted.
fn refusal(ruling: &Ruling) -> Option<Refusal> {
    ruling.judged().and_then(|judged| judged.decision.refusal.clone())
}

fn circumstances() -> impl Strategy<Value = Known> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0..3_usize, any::<i64>(), any::<u32>()).prop_map(
        |((duplicate, suppressed, internal), contact, backlog_ms, us)| Known {
            duplicate,
            suppressed,
            internal,
            contact: [Contact::New, Contact::Stale, Contact::Fresh][contact],
            backlog_ms,
            interval: std::time::Duration::from_micros(u64::from(us)),
            ..known()
        },
    )
}

proptest! {
    #[test]
    fn any_batch_is_judged_within_its_limits(
        sends in proptest::collection::vec((0..200_i64, 0..3_i64, 0..5_usize, circumstances()), 1..200),
        day_limit in 0..50_i32,
    ) {
        let mut batch = Batch::new(CODE_LIMITS, HashMap::new());
        let mut accepted = 0;
        for (recipient, text, purpose, known) in &sends {
            let ruling = batch.judge(&draft(*recipient, *text, Purpose::ALL[*purpose], day_limit), known);
            prop_assert_eq!(ruling.judged().is_none(), known.duplicate);
            accepted += i32::from(ruling.judged().is_some() && refusal(&ruling).is_none());
        }
        prop_assert!(accepted <= day_limit);
        let record = batch.record();
        let mut members: Vec<_> = record.sightings.iter().map(|(subject, member, _)| (*subject, *member)).collect();
        members.sort_unstable();
        members.dedup();
        prop_assert_eq!(members.len(), record.sightings.len(), "nobody is written twice");
    }

    #[test]
    fn the_same_text_is_stopped_at_the_purposes_threshold(purpose in 0..5_usize, recipients in 1..130_i64) {
        let purpose = Purpose::ALL[purpose];
        let mut batch = Batch::new(CODE_LIMITS, HashMap::new());
        let accepted = (0..recipients)
            .filter(|recipient| refusal(&batch.judge(&draft(*recipient, 7, purpose, 1_000), &known())).is_none())
            .count();
        let most = match purpose {
            Purpose::Transactional | Purpose::Support => 19,
            Purpose::Operational => 29,
            Purpose::InternalTeam => 59,
            Purpose::Authentication => 9,
        };
        prop_assert_eq!(accepted, usize::try_from(recipients).unwrap().min(most));
    }
}
