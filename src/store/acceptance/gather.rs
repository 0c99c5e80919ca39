//! What the decisions need to know, read after the locks that keep it true until they are written.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::counters::{Counters, Held, LOCK, READ};
use super::{Draft, Keys, NewMessage, column, of};
use crate::domain::account::Periods;
use crate::domain::instance::Connection;
use crate::domain::purpose::Purpose;
use crate::domain::rules::Counter;
use crate::domain::seen::Seen;
use crate::store::quota::USED;
use crate::store::{Pipeline, Session, Step, StoreError};

/// What is counted: the counter, and whose count it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The tenant.
    pub account_id: i64,
    /// The counter's name.
    pub counter: &'static str,
    /// 64 bits of a keyed hash: of the text, the instance or the recipient.
    pub key: i64,
}

/// Whether the account has written to the recipient before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Never, as far as is remembered.
    New,
    /// Yes, but it was noted so long ago that it should be noted anew.
    Stale,
    /// Yes.
    Fresh,
}

/// What the database knows of a draft's circumstances.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is used of the day and of the month, locked where a place is asked for; `None`: there is no counter yet.
    pub used: Option<(i32, i32)>,
    /// The idempotency key was taken meanwhile.
    pub duplicate: bool,
    /// The recipient wants nothing of this kind.
    pub suppressed: bool,
    /// The recipient is of the account's own team; asked only for what is said to teams.
    pub internal: bool,
    /// Whether the recipient was written to before.
    pub contact: Contact,
    /// How many milliseconds a message of this lane accepted now would wait for its slot; negative where some more could
    /// leave at once.
    pub backlog_ms: i64,
    /// What another message adds to the backlog.
    pub interval: Duration,
    /// The instance waits for a review.
    pub paused: bool,
    /// The instance's connection; `None` where the draft names none.
    pub connection: Option<Connection>,
}

/// The facts of a batch, with the transaction that keeps them true.
pub struct Gathered<'a> {
    /// One for each draft, in their order.
    pub known: Vec<Known>,
    /// What was counted of the drafts' subjects.
    pub seen: HashMap<Subject, Seen>,
    pub(super) pipeline: Pipeline<'a>,
}

impl Subject {
    /// The counter of one-time codes to a recipient.
    pub const CODES: &'static str = "codes";

    /// Whose counts matter for any message like this.
    fn of(account_id: i64, message: &NewMessage) -> Vec<Self> {
        let Keys { text, recipient, instance } = message.keys;
        let subject = |counter, key| Self { account_id, counter, key };
        let mut subjects =
            vec![subject(Counter::SameText.as_str(), text), subject(Counter::Blocked.as_str(), instance)];
        if message.purpose == Purpose::Authentication {
            subjects.push(subject(Self::CODES, recipient));
        }
        subjects
    }

    /// Whose counts matter besides for a message to somebody new.
    fn of_strangers(account_id: i64, message: &NewMessage) -> Self {
        Self { account_id, counter: Counter::NewRecipients.as_str(), key: message.keys.instance }
    }
}

/// The statement's own time counts, not the transaction's: it may have waited for the locks. `offset 0` keeps Postgres from
/// reading a whole table into a hash for what is one look into an index.
const FACTS: &str = "-- acceptance.facts
select
    i.idempotency_key is not null and exists (select from idempotency_keys k where k.account_id = i.account_id and k.key = i.idempotency_key
            and k.created_at >= statement_timestamp() - interval '24 hours' offset 0),
    exists (select from suppressions s where s.account_id = i.account_id and s.recipient = i.recipient
            and (s.scope = 'all' or i.purpose <> 'authentication') and s.starts_at <= statement_timestamp()
            and (s.ends_at is null or s.ends_at > statement_timestamp()) offset 0),
    i.purpose = 'internal_team' and exists (select from internal_numbers t where t.account_id = i.account_id and t.recipient = i.recipient offset 0),
    (select c.last_at > statement_timestamp() - interval '30 days' from contacts c
     where c.account_id = i.account_id and c.recipient = i.recipient_key),
    -- The workers' schedule, and the one of what they have not looked at yet.
    (select ceil(extract(epoch from greatest(max(s.next_at), statement_timestamp()) - statement_timestamp()
                - (n.burst - 1) * n.interval_us * interval '1 microsecond') * 1000)::int8
     from (select p.next_at from pacing p where p.account_id = n.account_id and p.instance_id = n.instance_id
             and (p.lane = 'priority' or i.purpose <> 'authentication')
           union all
           select d.next_at from door d where d.account_id = n.account_id and d.instance_id = n.instance_id
             and (d.lane = 'priority') = (i.purpose = 'authentication')) s),
    n.interval_us,
    n.paused_at is not null,
    n.connection
from unnest($1::int8[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::text[])
     with ordinality
     as i(account_id, instance_id, recipient, recipient_key, purpose, idempotency_key, ord)
left join instances n on n.account_id = i.account_id and n.instance_id = i.instance_id
order by i.ord";

const SEEN: &str = "-- acceptance.seen
select s.ord, g.member, greatest(0, extract(epoch from statement_timestamp() - g.seen_at) * 1000)::int8
from unnest($1::int8[], $2::text[], $3::int8[]) with ordinality as s(account_id, counter, subject, ord)
cross join lateral (
    select member, seen_at from sightings g
    where g.account_id = s.account_id and g.counter = s.counter and g.subject = s.subject
      and g.expires_at > statement_timestamp()
    offset 0) g";

/// Locks the drafts' accounts and gathers what is known of them.
///
/// # Errors
/// [`StoreError`]; then nothing is locked.
pub async fn gather<'a>(session: &'a mut Session, drafts: &[Draft]) -> Result<Gathered<'a>, StoreError> {
    let (locked, others) = (Counters::of(drafts, true), Counters::of(drafts, false));
    let (asked, subjects) = (Asked::of(drafts), Subjects::of(drafts));
    let (lock, read, facts, seen) = (locked.params(), others.params(), asked.params(), subjects.params());
    let mut steps = vec![Step::new(LOCK, &lock), Step::new(FACTS, &facts), Step::new(SEEN, &seen)];
    if !others.is_empty() {
        steps.push(Step::new(READ, &read));
    }
    let (pipeline, rows) = session.begin_with(&steps).await?;
    let mut rows = rows.into_iter();
    let mut next = || rows.next().unwrap_or_default();
    let (locked, facts, seen, others) = (Held::read(&next()), next(), next(), Held::read(&next()));
    let known = drafts.iter().zip(&facts).map(|(draft, row)| {
        let held = if draft.message().is_some() { &locked } else { &others };
        read_known(row, held.of(draft))
    });
    let known = known.collect::<Result<Vec<_>, _>>()?;
    let mut seen = subjects.read(&seen);
    if let Some(strangers) = Subjects::of_strangers(drafts, &known) {
        let rows = pipeline.run(&[Step::new(SEEN, &strangers.params())]).await?;
        seen.extend(strangers.read(rows.first().map(Vec::as_slice).unwrap_or_default()));
    }
    Ok(Gathered { known, seen, pipeline })
}

/// The same without locking: what it would be decided by now.
///
/// # Errors
/// [`StoreError`].
pub async fn look(session: &Session, draft: &Draft) -> Result<(Known, HashMap<Subject, Seen>), StoreError> {
    let drafts = std::slice::from_ref(draft);
    let (asked, subjects) = (Asked::of(drafts), Subjects::of(drafts));
    let Periods { day, month, .. } = &draft.periods;
    let used: [&(dyn ToSql + Sync); 3] = [&draft.account_id, day, month];
    let (facts, seen) = (asked.params(), subjects.params());
    let steps = [Step::new(USED, &used), Step::new(FACTS, &facts), Step::new(SEEN, &seen)];
    let mut rows = session.pipelined(&steps).await?;
    let (seen, facts) = (rows.pop().unwrap_or_default(), rows.pop().unwrap_or_default());
    let used = rows.pop().unwrap_or_default().first().map(|row| (row.get(0), row.get(1)));
    let known =
        facts.first().map(|row| read_known(row, used)).transpose()?.ok_or(StoreError::Value("facts"))?;
    let mut seen = subjects.read(&seen);
    if let Some(strangers) = Subjects::of_strangers(drafts, std::slice::from_ref(&known)) {
        let rows = session.pipelined(&[Step::new(SEEN, &strangers.params())]).await?;
        seen.extend(strangers.read(rows.first().map(Vec::as_slice).unwrap_or_default()));
    }
    Ok((known, seen))
}

/// The drafts as columns.
struct Asked<'a> {
    accounts: Vec<i64>,
    instances: Vec<Option<&'a str>>,
    recipients: Vec<Option<&'a str>>,
    recipient_keys: Vec<Option<i64>>,
    purposes: Vec<Option<&'static str>>,
    idempotency_keys: Vec<Option<&'a str>>,
}

impl<'a> Asked<'a> {
    fn of(drafts: &'a [Draft]) -> Self {
        Self {
            accounts: column(drafts, |d| d.account_id),
            instances: column(drafts, |d| d.message().and(d.instance_id.as_deref())),
            recipients: of(drafts, |m| m.recipient.as_str()),
            recipient_keys: of(drafts, |m| m.keys.recipient),
            purposes: of(drafts, |m| m.purpose.as_str()),
            idempotency_keys: column(drafts, |d| d.idempotency_key().map(|(_, key)| key)),
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 6] {
        [
            &self.accounts,
            &self.instances,
            &self.recipients,
            &self.recipient_keys,
            &self.purposes,
            &self.idempotency_keys,
        ]
    }
}

/// Whose counts are asked for, each once, as columns.
struct Subjects {
    all: Vec<Subject>,
    accounts: Vec<i64>,
    counters: Vec<&'static str>,
    keys: Vec<i64>,
}

impl Subjects {
    fn new(subjects: impl Iterator<Item = Subject>) -> Self {
        let all: Vec<Subject> = subjects.collect::<BTreeSet<_>>().into_iter().collect();
        Self {
            accounts: all.iter().map(|subject| subject.account_id).collect(),
            counters: all.iter().map(|subject| subject.counter).collect(),
            keys: all.iter().map(|subject| subject.key).collect(),
            all,
        }
    }

    fn of(drafts: &[Draft]) -> Self {
        Self::new(
            drafts.iter().filter_map(|draft| Some(Subject::of(draft.account_id, draft.message()?))).flatten(),
        )
    }

    /// Those that only matter for people who were never written to; `None`: all of them were.
    fn of_strangers(drafts: &[Draft], known: &[Known]) -> Option<Self> {
        let strangers = drafts.iter().zip(known).filter(|(_, known)| known.contact == Contact::New);
        let subjects = strangers
            .filter_map(|(draft, _)| Some(Subject::of_strangers(draft.account_id, draft.message()?)));
        Some(Self::new(subjects)).filter(|subjects| !subjects.all.is_empty())
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.accounts, &self.counters, &self.keys]
    }

    fn read(&self, rows: &[Row]) -> HashMap<Subject, Seen> {
        let mut members: HashMap<Subject, Vec<(i64, Duration)>> = HashMap::new();
        for row in rows {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok();
            if let Some(subject) = place.and_then(|place| self.all.get(place)) {
                let age = u64::try_from(row.get::<_, i64>(2)).unwrap_or(0);
                members.entry(*subject).or_default().push((row.get(1), Duration::from_millis(age)));
            }
        }
        members.into_iter().map(|(subject, members)| (subject, Seen::new(members))).collect()
    }
}

fn read_known(row: &Row, used: Option<(i32, i32)>) -> Result<Known, StoreError> {
    let connection: Option<&str> = row.get(7);
    let connection = connection
        .map(|name| Connection::parse(name).ok_or(StoreError::Value("instances.connection")))
        .transpose()?;
    Ok(Known {
        used,
        duplicate: row.get(0),
        suppressed: row.get(1),
        internal: row.get(2),
        contact: match row.get::<_, Option<bool>>(3) {
            None => Contact::New,
            Some(false) => Contact::Stale,
            Some(true) => Contact::Fresh,
        },
        backlog_ms: row.get::<_, Option<i64>>(4).unwrap_or(0),
        interval: Duration::from_micros(
            row.get::<_, Option<i64>>(5).and_then(|us| u64::try_from(us).ok()).unwrap_or(0),
        ),
        paused: row.get(6),
        connection,
    })
}
