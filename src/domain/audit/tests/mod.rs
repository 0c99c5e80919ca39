mod life;

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use uuid::Uuid;

use self::life::Life;
use super::{
    Accepted, Answered, Attempt, Call, Check, Delivery, Event, Message, Received, Recorded, Subject, Terms,
    Told, Witnessed,
};
use crate::domain::status::{Report, Status};

const TERMS: Terms = Terms { settled: true, overdue_ms: 600_000 };

/// A message that was throttled once, taken the second time, and read.
fn read() -> Message {
    let mut life = Life::new();
    life.begin();
    life.record(Recorded::Unsent);
    life.begin();
    life.record(Recorded::Accepted);
    for report in [Report::Delivered, Report::Read] {
        life.report(report);
    }
    life.message
}

/// A message whose first call may have sent it.
fn unknown() -> Message {
    let mut life = Life::new();
    life.begin();
    life.record(Recorded::Unknown);
    life.message
}

/// A message nobody has claimed yet, held by its paused sender.
fn queued() -> Message {
    Message { sender_held: true, ..Life::new().message }
}

fn judged(message: &Message) -> Vec<Check> {
    message.judge(&Witnessed::default(), &TERMS)
}

fn accepted(answered: Answered) -> Accepted {
    Accepted { account_id: 1, key: None, answered }
}

#[test]
fn a_healthy_life_has_nothing_wrong() {
    for message in [read(), unknown(), queued()] {
        assert_eq!(judged(&message), [], "{message:?}");
    }
}

/// A way to spoil a message, the message, and what must be found.
type Spoilt = (Check, Message, fn(&mut Message));

#[test]
fn each_fault_of_a_message_is_found_and_nothing_else() {
    let rows: [Spoilt; 24] = [
        (Check::WaitsUnseen, queued(), |m| m.due_in_ms = None),
        (Check::FinalDue, read(), |m| m.due_in_ms = Some(-1)),
        (Check::Overdue, queued(), |m| m.due_in_ms = Some(-600_001)),
        (Check::LeaseOutlived, queued(), |m| (m.due_in_ms, m.leased) = (Some(-600_001), true)),
        (Check::UnexplainedWait, queued(), |m| m.sender_held = false),
        (Check::UnexplainedWait, unknown(), |m| m.unsent = true),
        (Check::AttemptsDisagree, read(), |m| m.calls = 3),
        (Check::AttemptsDisagree, read(), |m| m.attempts[0].number = 3),
        (Check::AttemptsDisagree, unknown(), |m| m.attempts[0].recorded = Recorded::Garbled),
        (Check::AttemptOpen, unknown(), |m| m.attempts[0].recorded = Recorded::Open),
        (Check::AttemptOpen, unknown(), |m| m.in_flight = true),
        (Check::BlindSecondCall, read(), |m| m.attempts[0].recorded = Recorded::Unknown),
        (Check::BlindSecondCall, read(), |m| m.attempts[0].recorded = Recorded::Open),
        (Check::BlindSecondCall, read(), |m| m.attempts[0].recorded = Recorded::Refused),
        (Check::AcceptedForgotten, unknown(), |m| m.attempts[0].recorded = Recorded::Accepted),
        (Check::ProviderIdDisagrees, read(), |m| m.provider_message_id = None),
        (Check::ProviderIdDisagrees, read(), |m| m.provider_message_id = Some("another".to_owned())),
        (Check::ProviderIdDisagrees, unknown(), |m| m.provider_message_id = Some("another".to_owned())),
        (Check::RisesBroken, read(), |m| m.rises.retain(|rise| rise.sequence != 2)),
        (Check::RisesBroken, read(), |m| m.rises[1].from = Some(Status::Queued)),
        (Check::StatusDisagrees, read(), |m| m.rises.truncate(3)),
        (Check::StatusDisagrees, read(), |m| m.status = Status::Delivered),
        (Check::EventMissing, read(), |m| m.told_apart.truncate(1)),
        (Check::DecisionMissing, read(), |m| m.decided = false),
    ];
    for (check, healthy, spoil) in rows {
        let mut message = healthy.clone();
        spoil(&mut message);
        assert_eq!(judged(&message), [check], "{healthy:?}");
    }
}

#[test]
fn a_status_never_falls() {
    let mut message = read();
    message.rises[2].to = Some(Status::Sending);
    message.rises[3].from = Some(Status::Sending);
    assert_eq!(judged(&message), [Check::RisesBroken]);
}

#[test]
fn a_running_system_may_be_in_the_middle_of_it() {
    let running = Terms { settled: false, ..TERMS };
    let waits = Message { sender_held: false, due_in_ms: Some(-1), ..queued() };
    let given_back = Message { due_in_ms: Some(-1), ..read() };
    let overtaken = Message { attempts: open_after_a_refusal(), leased: true, ..read() };
    for message in [waits, given_back, overtaken] {
        let wrong = message.judge(&Witnessed::default(), &running);
        assert_eq!(
            wrong.iter().filter(|check| **check != Check::ProviderIdDisagrees).count(),
            0,
            "{wrong:?}"
        );
    }
    let due_again = Message { due_in_ms: Some(60_000), ..read() };
    assert_eq!(due_again.judge(&Witnessed::default(), &running), [Check::FinalDue]);
}

fn open_after_a_refusal() -> Vec<Attempt> {
    let mut attempts = read().attempts;
    attempts[1].recorded = Recorded::Open;
    attempts
}

#[test]
fn the_setting_stands_in_for_evidence_once() {
    let mut message = Message { resent: true, ..read() };
    for settled in [Recorded::Unknown, Recorded::Unsent] {
        message.attempts[0].recorded = settled;
        assert_eq!(judged(&message), []);
    }
    message.attempts[0].recorded = Recorded::Accepted;
    assert_eq!(judged(&message), [Check::AcceptedTwice], "sent twice, as the setting risks");
    let again = Attempt { number: 3, ..message.attempts[1].clone() };
    message.attempts[0].recorded = Recorded::Unknown;
    message.attempts[1].recorded = Recorded::Unknown;
    message.attempts.push(again);
    message.calls = 3;
    assert_eq!(judged(&message), [Check::BlindSecondCall]);
}

#[test]
fn what_the_provider_saw_is_held_against_the_record() {
    let call = |attempt, accepted| Call { attempt, accepted };
    let rows: [(Vec<Call>, Vec<Check>); 7] = [
        (vec![call(1, false), call(2, true)], vec![]),
        // Without the first, the connection may have failed.
        (vec![call(2, true)], vec![]),
        (vec![call(1, false)], vec![Check::CallUnseen]),
        (vec![call(2, false)], vec![Check::OutcomeContradicted]),
        (vec![call(1, true), call(2, true)], vec![Check::AcceptedTwice, Check::OutcomeContradicted]),
        (vec![call(2, true), call(2, false)], vec![Check::CallRepeated]),
        (vec![call(2, true), call(3, false)], vec![Check::CallUnrecorded]),
    ];
    for (calls, expected) in rows {
        let witnessed = Witnessed { told: None, calls: Some(&calls) };
        assert_eq!(read().judge(&witnessed, &TERMS), expected, "{calls:?}");
    }
    let mut later = read();
    later.attempts[1].witnessable = false;
    assert_eq!(later.judge(&Witnessed { told: None, calls: Some(&[]) }, &TERMS), []);
}

#[test]
fn what_senders_were_told_is_held_against_the_life() {
    let (sent, failed) = (accepted(Answered::Sent), accepted(Answered::Failed));
    let rows = [
        (read(), Told::Accepted(&sent), vec![]),
        (read(), Told::Accepted(&failed), vec![Check::AnswerContradicted]),
        (queued(), Told::Accepted(&sent), vec![Check::AnswerContradicted]),
        (read(), Told::Lost, vec![]),
        (read(), Told::Nothing, vec![Check::AcceptedUntold]),
        (Message { confirmation: true, ..read() }, Told::Nothing, vec![]),
        (Message { witnessable: false, ..read() }, Told::Nothing, vec![]),
    ];
    for (message, told, expected) in rows {
        let witnessed = Witnessed { told: Some(told), calls: None };
        assert_eq!(message.judge(&witnessed, &TERMS), expected, "{told:?}");
    }
}

fn event() -> (Event, Received) {
    let message_id = Some(Uuid::from_u128(7));
    let delivery = Delivery { pending: false, delivered: true, due_in_ms: None };
    let event = Event {
        kind: "message.status_updated".to_owned(),
        message_id,
        sequence: Some(2),
        status: Some("sent".to_owned()),
        missed: false,
        owed: vec![delivery],
    };
    let received = Received { message_id, sequence: Some(2), status: Some("sent".to_owned()) };
    (event, received)
}

#[test]
fn each_fault_of_a_webhook_is_found_and_nothing_else() {
    let (healthy, received) = event();
    assert_eq!(healthy.judge(Some(Some(&received)), &TERMS), []);
    let pending = |due_in_ms| Delivery { pending: true, delivered: false, due_in_ms };
    let ended = Delivery { pending: false, delivered: false, due_in_ms: Some(1) };
    let rows = [
        (pending(Some(-600_000)), vec![]),
        (pending(Some(-600_001)), vec![Check::DeliveryOverdue]),
        (pending(None), vec![Check::DeliveryUnseen]),
        (ended, vec![Check::DeliveryUnseen]),
    ];
    for (delivery, expected) in rows {
        assert_eq!(Event { owed: vec![delivery], ..healthy.clone() }.judge(None, &TERMS), expected);
    }
    assert_eq!(Event { missed: true, ..healthy.clone() }.judge(None, &TERMS), [Check::DeliveryMissing]);
    assert_eq!(healthy.judge(Some(None), &TERMS), [Check::WebhookUnreceived]);
    let untrue = [
        Received { message_id: None, ..received.clone() },
        Received { sequence: Some(3), ..received.clone() },
        Received { status: Some("read".to_owned()), ..received.clone() },
    ];
    for received in untrue {
        assert_eq!(healthy.judge(Some(Some(&received)), &TERMS), [Check::WebhookUntrue]);
        let of_a_person = Event { kind: "recipient.opted_out".to_owned(), ..healthy.clone() };
        assert_eq!(of_a_person.judge(Some(Some(&received)), &TERMS), []);
    }
}

#[test]
fn words_of_outcomes_are_read_as_what_they_allow() {
    use crate::domain::outcome::Class;
    let allowing = [Class::Retry, Class::ThrottleSender, Class::ThrottlePair, Class::Instance];
    for class in allowing {
        assert_eq!(Recorded::read(Some(class.as_str())), Recorded::Unsent);
    }
    for class in [Class::Permanent, Class::Recipient, Class::Window] {
        assert_eq!(Recorded::read(Some(class.as_str())), Recorded::Refused);
    }
    assert_eq!(Recorded::read(Some(Class::Unknown.as_str())), Recorded::Unknown);
    assert_eq!(Recorded::read(Some("accepted")), Recorded::Accepted);
    assert_eq!(Recorded::read(Some("not_made")), Recorded::Unsent);
    assert_eq!(Recorded::read(Some("lost")), Recorded::Garbled);
    assert_eq!(Recorded::read(None), Recorded::Open);
}

#[test]
fn what_only_witnesses_know_is_asked_of_them_alone() {
    let asked = |subject| Check::all().filter(|check| check.subject() == subject).count();
    assert_eq!(
        [Subject::Settled, Subject::Counter, Subject::Answer, Subject::Received].map(asked),
        [1, 1, 2, 1]
    );
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Record(Recorded),
    Report(Report),
    Resend,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        2 => Just(Step::Record(Recorded::Unsent)),
        1 => Just(Step::Record(Recorded::Unknown)),
        1 => Just(Step::Record(Recorded::Accepted)),
        1 => Just(Step::Record(Recorded::Refused)),
        1 => Just(Step::Report(Report::Sent)),
        1 => Just(Step::Report(Report::Failed)),
        1 => Just(Step::Report(Report::Delivered)),
        1 => Just(Step::Report(Report::Read)),
        1 => Just(Step::Resend),
    ]
}

proptest! {
    /// Whatever happens to a message, in any order, as the product does it, nothing is wrong at any time; only a resend may
    /// come to two acceptances, and that is always said.
    #[test]
    fn no_life_raises_a_false_alarm(steps in proptest::collection::vec(step(), 0..40), held in any::<bool>()) {
        let mut life = Life::new();
        life.message.sender_held = held;
        let running = Terms { settled: false, ..TERMS };
        for step in steps {
            match step {
                Step::Begin => life.begin(),
                Step::Record(recorded) => life.record(recorded),
                Step::Report(report) => life.report(report),
                Step::Resend => life.resend(),
            }
            let twice = life.message.attempts.iter().filter(|a| a.recorded == Recorded::Accepted).count() > 1;
            let expected: Vec<Check> = twice.then_some(Check::AcceptedTwice).into_iter().collect();
            prop_assert_eq!(life.message.judge(&Witnessed::default(), &running), expected, "{:?}", life.message);
            prop_assert_eq!(twice && !life.message.resent, false);
        }
    }
}
