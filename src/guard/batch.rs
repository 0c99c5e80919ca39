//! The drafts of one commit, judged one after the other: each sees what those before it used up.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::account::{Allowance, Usage};
use crate::domain::decision::{self, Decision, Facts};
use crate::domain::instance::Connection;
use crate::domain::purpose::{Lane, Purpose};
use crate::domain::refusal::{Action, Refusal};
use crate::domain::rules::{self, Counter, CounterRule, Signal};
use crate::domain::seen::Seen;
use crate::store::acceptance::{Asks, Contact, Draft, Judged, Known, NewMessage, Queued, Record, Subject};

const TEN_MINUTES: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

/// How many one-time codes one recipient may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLimits {
    /// Within ten minutes.
    pub ten_minutes: u32,
    /// Within a day.
    pub day: u32,
}

/// What became of a draft.
#[derive(Clone, Debug)]
pub enum Ruling {
    /// Its idempotency key was taken meanwhile.
    Duplicate,
    /// Its caller has left; it is not judged.
    Left,
    /// It is decided.
    Judged {
        /// What is written.
        judged: Judged,
        /// What the account has left after it; `None`: it has no plan.
        allowance: Option<Allowance>,
        /// How long its turn would take to come.
        backlog: Duration,
    },
}

impl Ruling {
    /// What is to be written, if anything is.
    #[must_use]
    pub fn judged(&self) -> Option<&Judged> {
        match self {
            Self::Duplicate | Self::Left => None,
            Self::Judged { judged, .. } => Some(judged),
        }
    }
}

/// The counts of one batch, as they grow.
pub struct Batch {
    code_limits: CodeLimits,
    seen: HashMap<Subject, Seen>,
    accepted: HashMap<i64, i32>,
    paused: HashSet<(i64, String)>,
    written_to: HashSet<(i64, i64)>,
    sightings: HashMap<(Subject, i64), i32>,
    queued: HashMap<(i64, String, Lane), Duration>,
    contacts: Vec<(i64, i64)>,
}

/// The signals of a message, and how long those that pass with time still last.
struct Fired {
    signals: Vec<Signal>,
    pass_in: Option<Duration>,
}

impl Batch {
    /// A batch that begins with what was gathered.
    #[must_use]
    pub fn new(code_limits: CodeLimits, seen: HashMap<Subject, Seen>) -> Self {
        Self {
            code_limits,
            seen,
            accepted: HashMap::new(),
            paused: HashSet::new(),
            written_to: HashSet::new(),
            sightings: HashMap::new(),
            queued: HashMap::new(),
            contacts: Vec::new(),
        }
    }

    /// What is to be remembered of the drafts judged so far.
    #[must_use]
    pub fn record(self) -> Record {
        let sightings =
            self.sightings.into_iter().map(|((subject, member), seconds)| (subject, member, seconds));
        let queued = self.queued.into_iter().map(|((account_id, instance_id, lane), by)| Queued {
            account_id,
            instance_id,
            lane,
            by,
        });
        Record { sightings: sightings.collect(), contacts: self.contacts, queued: queued.collect() }
    }

    /// Judges the next draft, and counts it.
    pub fn judge(&mut self, draft: &Draft, known: &Known) -> Ruling {
        if known.duplicate {
            return Ruling::Duplicate;
        }
        let used = known.used.unwrap_or_default();
        let allowance = draft.limits.map(|limits| {
            let already = self.accepted.get(&draft.account_id).copied().unwrap_or(0);
            Allowance::new(limits, &draft.periods, used).after(already)
        });
        match (&draft.asks, allowance) {
            (Asks::Message(message), Some(allowance)) => self.message(draft, message, known, allowance),
            (Asks::Nothing(refusal), allowance) => logged(refusal.clone(), allowance),
            (Asks::Message(_), None) => logged(Refusal::ActivePlanRequired, None),
        }
    }

    fn message(
        &mut self,
        draft: &Draft,
        message: &NewMessage,
        known: &Known,
        allowance: Allowance,
    ) -> Ruling {
        let fired = self.fired(draft, message, known);
        let backlog = self.backlog(draft, message, known);
        let facts = Facts {
            allowance,
            suppressed: known.suppressed,
            limited_for: self.limited_for(draft, message, backlog).map(seconds),
            paused: known.paused || self.paused.contains(&instance(draft)),
            connection: known.connection.unwrap_or(Connection::Close),
            signals_pass_in: fired.pass_in.map(seconds),
            signals: fired.signals,
        };
        let decision = decision::decide(&facts);
        self.count(draft, message, known, &decision);
        let explained = decision.refusal.is_some() || !facts.signals.is_empty();
        let judged = Judged {
            facts: explained.then(|| explain(&facts, known, backlog)),
            pause_reason: decision.pauses.then(|| heaviest(&facts.signals)),
            signals: serde_json::to_value(&facts.signals).expect("texts and numbers always serialise"),
            decision,
        };
        let sent = i32::from(judged.decision.refusal.is_none());
        Ruling::Judged { judged, allowance: Some(allowance.after(sent)), backlog }
    }

    /// The rules that fire for the message: those about its text, and those that count.
    fn fired(&self, draft: &Draft, message: &NewMessage, known: &Known) -> Fired {
        let mut fired = Fired { signals: message.signals.clone(), pass_in: None };
        let team = to_team(message, known);
        let stranger = known.contact == Contact::New
            && !self.written_to.contains(&(draft.account_id, message.keys.recipient));
        for rule in message.rules.counters(message.purpose) {
            let applies = match rule.counter {
                Counter::SameText => !team,
                Counter::NewRecipients => !team && stranger,
                Counter::Blocked => false,
            };
            if applies {
                self.count_up(draft, message, rule, &mut fired);
            }
        }
        // Only what is blocked anyway can be one blocked attempt too many.
        if matches!(rules::action(rules::score(&fired.signals)), Action::Block | Action::PauseInstance) {
            for rule in message.rules.counters(message.purpose) {
                if rule.counter == Counter::Blocked {
                    self.count_up(draft, message, rule, &mut fired);
                }
            }
        }
        fired
    }

    fn count_up(&self, draft: &Draft, message: &NewMessage, rule: &CounterRule, fired: &mut Fired) {
        let (subject, member) = counted(draft, message, rule.counter);
        let none = Seen::default();
        let seen = self.seen.get(&subject).unwrap_or(&none);
        if let Some(signal) = rule.signal(seen.count_with(member, rule.window)) {
            fired.signals.push(signal);
            fired.pass_in = fired.pass_in.max(Some(seen.wait(member, rule.window, rule.at_least)));
        }
    }

    /// How long the message would wait for its slot, those before it in this batch among what it waits for.
    fn backlog(&self, draft: &Draft, message: &NewMessage, known: &Known) -> Duration {
        let (account_id, instance_id) = instance(draft);
        let here = self.queued.get(&(account_id, instance_id, message.purpose.lane()));
        let here = i64::try_from(here.copied().unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        Duration::from_millis(u64::try_from(known.backlog_ms.saturating_add(here)).unwrap_or(0))
    }

    /// How long a limit that is no rule holds the message off: the lane's backlog, the recipient's one-time codes.
    fn limited_for(&self, draft: &Draft, message: &NewMessage, backlog: Duration) -> Option<Duration> {
        let most = Duration::from_secs(u64::from(message.purpose.lane().backlog_limit_seconds()));
        let late = backlog.checked_sub(most).filter(|over| !over.is_zero());
        late.max(self.codes_for(draft, message))
    }

    fn codes_for(&self, draft: &Draft, message: &NewMessage) -> Option<Duration> {
        if message.purpose != Purpose::Authentication {
            return None;
        }
        let (subject, member) = codes(draft, message);
        let seen = self.seen.get(&subject)?;
        let over = |window, most: u32| {
            let too_many = most.saturating_add(1);
            (seen.count_with(member, window) >= too_many).then(|| seen.wait(member, window, too_many))
        };
        over(TEN_MINUTES, self.code_limits.ten_minutes).max(over(DAY, self.code_limits.day))
    }

    /// Counts the message for those after it and for later.
    fn count(&mut self, draft: &Draft, message: &NewMessage, known: &Known, decision: &Decision) {
        if let Some(refusal) = &decision.refusal {
            let attempted =
                matches!(refusal, Refusal::SendingThrottled { .. } | Refusal::PolicyViolation { .. });
            if (attempted || decision.pauses) && !to_team(message, known) {
                self.see(draft, message, Counter::SameText);
            }
            if decision.pauses {
                self.paused.insert(instance(draft));
            }
            if decision.pauses || matches!(refusal, Refusal::PolicyViolation { .. }) {
                self.see(draft, message, Counter::Blocked);
            }
            return;
        }
        if !to_team(message, known) {
            self.see(draft, message, Counter::SameText);
        }
        *self.accepted.entry(draft.account_id).or_default() += 1;
        self.queue(draft, message, known.interval);
        if message.purpose == Purpose::Authentication {
            let most = self.code_limits.day.max(self.code_limits.ten_minutes);
            self.note(codes(draft, message), most, DAY);
        }
        let contact = (draft.account_id, message.keys.recipient);
        if known.contact != Contact::Fresh && self.written_to.insert(contact) {
            self.contacts.push(contact);
            if known.contact == Contact::New && !to_team(message, known) {
                self.see(draft, message, Counter::NewRecipients);
            }
        }
    }

    /// A code takes a slot before everything else, so the other lane waits for it as well.
    fn queue(&mut self, draft: &Draft, message: &NewMessage, interval: Duration) {
        let (account_id, instance_id) = instance(draft);
        for lane in Lane::ALL {
            if lane == Lane::Standard || lane == message.purpose.lane() {
                *self.queued.entry((account_id, instance_id.clone(), lane)).or_default() += interval;
            }
        }
    }

    /// Notes a sighting for as long, and as many, as any rule asks for.
    fn see(&mut self, draft: &Draft, message: &NewMessage, counter: Counter) {
        let rules = message.rules.all_counters().iter().filter(|rule| rule.counter == counter);
        let most = rules.clone().map(|rule| rule.at_least).max();
        let longest = rules.map(|rule| rule.window).max();
        if let (Some(most), Some(longest)) = (most, longest) {
            self.note(counted(draft, message, counter), most, longest);
        }
    }

    fn note(&mut self, (subject, member): (Subject, i64), most: u32, longest: Duration) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.seen.entry(subject).or_default().note(member, most) {
            let seconds = i32::try_from(longest.as_secs()).unwrap_or(i32::MAX);
            self.sightings.insert((subject, member), seconds);
        }
    }
}

/// A refusal that needed no counters.
fn logged(refusal: Refusal, allowance: Option<Allowance>) -> Ruling {
    let decision = Decision {
        action: refusal.action(),
        risk_score: refusal.risk_score(),
        refusal: Some(refusal),
        pauses: false,
    };
    let judged = Judged { decision, signals: json!([]), facts: None, pause_reason: None };
    Ruling::Judged { judged, allowance, backlog: Duration::ZERO }
}

/// Whether the account's own team is told something: that is neither a broadcast nor a stranger's.
fn to_team(message: &NewMessage, known: &Known) -> bool {
    message.purpose == Purpose::InternalTeam && known.internal
}

fn instance(draft: &Draft) -> (i64, String) {
    (draft.account_id, draft.instance_id.clone().unwrap_or_default())
}

/// What a counter counts the message under, and as what.
fn counted(draft: &Draft, message: &NewMessage, counter: Counter) -> (Subject, i64) {
    let (key, member) = match counter {
        Counter::SameText => (message.keys.text, message.keys.recipient),
        Counter::NewRecipients => (message.keys.instance, message.keys.recipient),
        Counter::Blocked => (message.keys.instance, number(message)),
    };
    (Subject { account_id: draft.account_id, counter: counter.as_str(), key }, member)
}

fn codes(draft: &Draft, message: &NewMessage) -> (Subject, i64) {
    let subject =
        Subject { account_id: draft.account_id, counter: Subject::CODES, key: message.keys.recipient };
    (subject, number(message))
}

/// A number of the message's own: the random half of its id.
fn number(message: &NewMessage) -> i64 {
    message.message_id.as_u64_pair().1.cast_signed()
}

fn heaviest(signals: &[Signal]) -> String {
    let heaviest = signals.iter().max_by_key(|signal| signal.weight);
    heaviest.map(|signal| signal.rule.to_string()).unwrap_or_default()
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}

fn explain(facts: &Facts, known: &Known, backlog: Duration) -> Value {
    let usage = |usage: &Usage| json!({"limit": usage.limit, "used": usage.used});
    json!({
        "day": usage(&facts.allowance.day),
        "month": usage(&facts.allowance.month),
        "suppressed": facts.suppressed,
        "new_recipient": known.contact == Contact::New,
        "internal_number": known.internal,
        "backlog_ms": u64::try_from(backlog.as_millis()).unwrap_or(u64::MAX),
        "limited_for_seconds": facts.limited_for,
        "signals_pass_in_seconds": facts.signals_pass_in,
        "paused": facts.paused,
        "connection": facts.connection.as_str(),
    })
}
