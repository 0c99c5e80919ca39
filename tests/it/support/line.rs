//! Meta's side of the samples: an account with one number of Meta's, messages for it to report on, and what came of it.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::Client;

use super::meta;
use super::rows::message_under_way;
use super::world::World;

/// The person of the samples, by their number …
pub const PERSON: &str = "966500000007";
/// … and by Meta's own id.
pub const USER_ID: &str = "SA.100200300";
/// The ids under which the samples speak of our messages.
pub const OURS: [&str; 4] = ["wamid.OURS01==", "wamid.OURS02==", "wamid.OURS03==", "wamid.OURS04=="];

/// How the samples' times begin, in seconds; three digits follow.
const SAMPLES_TIME: &str = "1769904";

/// Every sample of a callback by its name.
pub fn samples() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("../../fixtures/meta/callbacks.json")).expect("an object")
}

/// A number of Meta's.
pub struct Line {
    pub account_id: i64,
    pub number: String,
    pub business: String,
    /// When the samples' time is, in seconds: a moment ago.
    pub began: i64,
    /// Our messages, in the order of [`OURS`].
    pub messages: Vec<String>,
}

impl Line {
    /// A number in a new account, with a message for each of [`OURS`] whose call is under way.
    pub async fn open(database: &Client) -> Self {
        let sql = "insert into accounts (name, plan) values ('Line', 'scale') returning account_id";
        let account_id: i64 = database.query_one(sql, &[]).await.expect("it can be made").get(0);
        let (number, business) = (format!("3{account_id:014}"), format!("7{account_id:014}"));
        let sql = "insert into instances (account_id, instance_id, name, provider, base_url, phone_number_id,
                       business_account_id, interval_us)
                   values ($1, 'line', 'Main line', 'meta', 'http://127.0.0.1:1', $2, $3, 1000)";
        database.execute(sql, &[&account_id, &number, &business]).await.expect("it can be made");
        let sql = "select extract(epoch from now())::int8 - 300";
        let began = database.query_one(sql, &[]).await.expect("the database answers").get(0);
        let mut line = Self { account_id, number, business, began, messages: Vec::new() };
        for id in OURS {
            line.messages.push(message_under_way(database, (account_id, "line"), PERSON, id).await);
        }
        line
    }

    /// A sample as it is said of this number and now: its ids, our mark on the message it speaks of, and its times.
    pub fn told(&self, sample: &Value) -> Value {
        let text = sample.to_string();
        let of = OURS.iter().position(|id| text.contains(id)).unwrap_or_default();
        let mark = format!("{}/{}:1", self.account_id, self.messages[of]);
        let text = text.replace("\"10955\"", &format!("\"{}\"", self.number));
        let text = text.replace("700100200300400", &self.business).replace("MARK", &mark);
        let mut pieces = text.split(SAMPLES_TIME);
        let mut told = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let seconds: i64 = piece[..3].parse().expect("a time of the samples");
            told += &format!("{}{}", self.began + seconds, &piece[3..]);
        }
        serde_json::from_str(&told).expect("it stays JSON")
    }

    /// Posts a body, which must be taken.
    pub async fn post(&self, world: &World, body: &Value) {
        meta::post(&world.gateway_url(), body).await;
    }

    /// What has become of the account by callbacks, in few words.
    pub async fn effect(&self, database: &Client) -> String {
        let sql = "select concat_ws(', ',
            (select string_agg(status || coalesce(' by ' || error, ''), ' ' order by status) from messages
             where account_id = $1 and status <> 'sending'),
            (select string_agg(case recipient when $2 then '' else 'elsewhere ' end || scope || ' stopped by ' || source
                               || case when ends_at is null then '' else ' for a while' end, ' ' order by recipient)
             from suppressions where account_id = $1),
            (select string_agg(wish || ' waits', ' ') from unresolved_senders
             where account_id = $1 and sender = $3 and resolved_at is null),
            (select 'knows the number' from sender_aliases where account_id = $1 and sender = $3 and recipient = $2),
            (select 'heard ' || count(*) from inbound_messages where account_id = $1 having count(*) > 0),
            (select 'window of ' || string_agg(case recipient when $2 then 'the person' else recipient end, ' ')
             from conversations where account_id = $1),
            (select string_agg(connection || ' because ' || hold_reason, ' ') from instances
             where account_id = $1 and connection <> 'open'),
            (select string_agg('held because ' || hold_reason, ' ') from instances where account_id = $1 and hold_until is not null),
            (select 'texts held' from instances where account_id = $1 and texts_hold_until > now()),
            (select 'templates held' from instances where account_id = $1 and templates_hold_until > now()),
            (select 'told ' || string_agg(distinct kind, ' ') from events
             where account_id = $1 and status is distinct from 'sending'))";
        let row = database.query_one(sql, &[&self.account_id, &PERSON, &USER_ID]).await;
        row.expect("the database answers").get(0)
    }
}
