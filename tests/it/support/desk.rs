//! Evolution's side of the callbacks: its samples, the addresses it calls, and messages for it to report on.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::meta::all_applied;
use super::rows::message_under_way;
use super::world::{Answer, World, answer};

/// The id under which the samples speak of our message.
pub const OURS: &str = "3EB05D2E9A7C4B1F608D3E";
/// The person of the samples, by their number …
pub const PERSON: &str = "966533330007";
/// … and by WhatsApp's own id.
pub const LID: &str = "271828182845904@lid";
/// The time at which the samples' people write.
pub const WRITTEN: i64 = 1_769_904_100;

/// Every sample by its name.
pub fn samples() -> serde_json::Map<String, Value> {
    serde_json::from_str(include_str!("../../fixtures/evolution/callbacks.json")).expect("an object")
}

/// One sample.
pub fn sample(name: &str) -> Value {
    samples().remove(name).unwrap_or_else(|| panic!("{name} is a sample"))
}

/// Posts a body to the address with that token.
pub async fn post(gateway_url: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
    let url = format!("{gateway_url}/callbacks/evolution/{token}");
    // What version 2.4 sends beside the body; nothing depends on it.
    let request = super::http().post(url).header("x-event-type", "messages.update");
    answer(request.header("content-type", "application/json").body(body)).await
}

/// An instance that Evolution calls for.
#[derive(Clone, Debug)]
pub struct Desk {
    pub account_id: i64,
    pub instance: String,
    pub token: String,
}

impl Desk {
    /// An instance in a new account.
    pub async fn open(database: &Client) -> Self {
        let sql = "insert into accounts (name, plan) values ('Desk', 'scale') returning account_id";
        let account_id = database.query_one(sql, &[]).await.expect("it can be made").get(0);
        Self::beside(database, account_id, "front-desk").await
    }

    /// One more instance of an account's.
    pub async fn beside(database: &Client, account_id: i64, instance: &str) -> Self {
        let sql = "insert into instances (account_id, instance_id, name, provider, base_url, interval_us)
                   values ($1, $2, 'Main line', 'sandbox', 'http://127.0.0.1:1', 1000)";
        database.execute(sql, &[&account_id, &instance]).await.expect("it can be made");
        Self::of(database, account_id, instance).await
    }

    /// An instance that stands already, given an address.
    pub async fn of(database: &Client, account_id: i64, instance: &str) -> Self {
        let token = format!("callback-token-{:032x}", rand::random::<u128>());
        let hash = Sha256::digest(token.as_bytes()).to_vec();
        let sql = "update instances set callback_token_hash = $3, provider = 'evolution',
                       provider_instance = account_id || '/' || instance_id
                   where account_id = $1 and instance_id = $2";
        let given = database.execute(sql, &[&account_id, &instance, &hash]).await;
        assert_eq!(given.expect("the database answers"), 1);
        Self { account_id, instance: instance.to_owned(), token }
    }

    /// A message to [`PERSON`] whose call is under way, and which the provider knows by that id.
    pub async fn message(&self, database: &Client, provider_id: &str) -> String {
        message_under_way(database, (self.account_id, &self.instance), PERSON, provider_id).await
    }

    /// Posts a body, which must be taken.
    pub async fn post(&self, world: &World, body: &Value) {
        let answer = post(&world.gateway_url(), &self.token, body.to_string()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{body}");
    }

    /// Posts a body and waits until everything has had its effect.
    pub async fn report(&self, world: &World, database: &Client, body: &Value) {
        self.post(world, body).await;
        all_applied(database).await;
    }

    /// What has become of the account by callbacks, in few words.
    pub async fn effect(&self, database: &Client) -> String {
        let sql = "select concat_ws(', ',
            (select string_agg(status::text, ' ') from messages where account_id = $1 and status <> 'sending'),
            (select string_agg(scope || ' stopped by ' || source, ' ') from suppressions
             where account_id = $1 and recipient = $2),
            (select string_agg(wish || ' waits', ' ') from unresolved_senders
             where account_id = $1 and sender = $3 and resolved_at is null),
            (select 'knows the number' from sender_aliases where account_id = $1 and sender = $3 and recipient = $2),
            (select 'heard ' || count(*) from inbound_messages where account_id = $1 having count(*) > 0),
            (select string_agg(connection || ' by ' || connection_by, ' ') from instances
             where account_id = $1 and (connection <> 'open' or connection_by <> 'operator')),
            (select 'told ' || string_agg(distinct kind, ' ') from events
             where account_id = $1 and status is distinct from 'sending'))";
        let row = database.query_one(sql, &[&self.account_id, &PERSON, &LID]).await;
        row.expect("the database answers").get(0)
    }
}
