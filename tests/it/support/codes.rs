//! The table of Meta's codes, and what a message, its sender and its recipient come to by one of them.

use serde_json::json;
use tokio_postgres::Client;

use super::eventually;
use super::provider::{Provider, Reply};
use super::receiver::Receiver;
use super::world::Customer;

/// A line of the codes' table: one code, and what it should come to.
#[derive(Clone, Debug)]
pub struct Row {
    pub code: i32,
    pub subcode: Option<i32>,
    pub kind: String,
    pub http: Option<u16>,
    pub transient: bool,
    pub class: String,
    pub scope: String,
    pub wait: Option<f64>,
    pub opt_out: bool,
    pub line: String,
}

/// The table, a range split into its two ends.
pub fn rows() -> Vec<Row> {
    let table = include_str!("../../fixtures/meta/codes.tsv");
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let ends = cells[0].split_once('-').filter(|(first, _)| !first.is_empty());
        let codes = ends.map_or(vec![cells[0]], |(first, last)| vec![first, last]);
        rows.extend(codes.into_iter().map(|code| Row {
            code: code.parse().expect("a code"),
            subcode: cells[1].parse().ok(),
            kind: if cells[2] == "-" { "OAuthException" } else { cells[2] }.to_owned(),
            http: cells[3].parse().ok(),
            transient: cells[4] == "yes",
            class: cells[5].to_owned(),
            scope: cells[6].to_owned(),
            wait: cells[7].parse().ok(),
            opt_out: cells[9] == "yes",
            line: line.to_owned(),
        }));
    }
    rows
}

impl Row {
    /// The answer to a send. The status matters only for codes that are not listed, which all have one here.
    pub fn answer(&self) -> Reply {
        let mut error = json!({"message": "any", "type": self.kind, "code": self.code});
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = subcode.into();
        }
        if self.transient {
            error["is_transient"] = true.into();
        }
        Reply::say(self.http.unwrap_or(400), json!({ "error": error }))
    }

    pub fn is_listed(&self) -> bool {
        self.code != -1 && self.code < 900_000
    }

    fn stays(&self) -> bool {
        !matches!(self.class.as_str(), "permanent" | "recipient" | "window")
    }

    fn error(&self) -> Option<&str> {
        match self.class.as_str() {
            "window" => Some("needs_template"),
            "permanent" | "recipient" => Some("gateway_send_failed"),
            _ => None,
        }
    }

    /// How long the sender is to rest.
    pub fn hold(&self) -> Option<f64> {
        let holds = self.class == "throttle_sender" || (self.class == "retry" && self.scope == "sender");
        holds.then(|| self.wait.unwrap_or(30.0))
    }
}

/// A row at work: an instance of its own, one message, its recipient.
pub struct Case {
    pub row: Row,
    pub sender: Customer,
    pub message: String,
    pub phone: String,
}

impl Case {
    /// Sends one message, to which the provider answers with the row's error, once.
    pub async fn send(provider: &Provider, sender: Customer, row: Row, n: usize) -> Self {
        let answer = row.answer();
        Self::send_to(provider, sender, (row, answer), n).await
    }

    /// Sends one message, to which the provider gives that answer, once.
    pub async fn send_to(
        provider: &Provider,
        sender: Customer,
        (row, answer): (Row, Reply),
        n: usize,
    ) -> Self {
        let phone = format!("+96650002{n:04}");
        provider.plan(&phone, answer);
        let message = sender.accepted(&phone).await;
        Self { row, sender, message, phone }
    }

    /// Checks everything that a class does, in the database.
    pub async fn check(&self, database: &Client) {
        let (row, name) = (&self.row, &self.row.line);
        let attempt = eventually(&format!("{name}: the attempt is recorded"), async || {
            let sql = "select a.outcome, a.code, m.attempts::int, m.status::text, m.error, m.recipient
                       from attempts a join messages m using (account_id, message_id)
                       where message_id = $1::text::uuid and attempt = 1 and a.finished_at is not null";
            database.query_opt(sql, &[&self.message]).await.expect("the database answers")
        })
        .await;
        let outcome: (String, i32) = (attempt.get(0), attempt.get(1));
        assert_eq!(outcome, (row.class.clone(), row.code), "{name}");
        assert_eq!(attempt.get::<_, i32>(2), i32::from(row.class == "retry"), "{name}");
        assert_eq!(attempt.get::<_, &str>(3), if row.stays() { "sending" } else { "failed" }, "{name}");
        assert_eq!(attempt.get::<_, Option<&str>>(4), row.error(), "{name}");
        check_others(database, row, (self.sender.account_id, &self.sender.instance), &self.phone[1..]).await;
    }

    /// Waits until the customer was told what they have to know.
    pub async fn is_told(&self, receiver: &Receiver) {
        let name = &self.row.line;
        let status = if self.row.stays() { "sending" } else { "failed" };
        eventually(&format!("{name}: {status} is told"), async || {
            receiver.events("message.status_updated").into_iter().find(|event| {
                event["message_id"] == self.message.as_str()
                    && event["status"] == status
                    && event["error"].as_str() == self.row.error()
            })
        })
        .await;
        if self.row.class == "instance" {
            eventually(&format!("{name}: the suspicion is told"), async || {
                receiver.events("instance.connection_updated").into_iter().find(|event| {
                    event["instance_id"] == self.sender.instance.as_str() && event["connection"] == "suspect"
                })
            })
            .await;
        }
        if self.row.opt_out {
            eventually(&format!("{name}: the opt-out is told"), async || {
                receiver
                    .events("recipient.opted_out")
                    .into_iter()
                    .find(|event| event["from"] == self.phone.as_str())
            })
            .await;
        }
    }
}

/// What a class does to the sender and to the recipient.
pub async fn check_others(
    database: &Client,
    row: &Row,
    (account_id, instance): (i64, &str),
    recipient: &str,
) {
    let name = &row.line;
    let sql = "select n.connection, extract(epoch from n.hold_until - now())::float8, n.hold_reason,
            (select extract(epoch from p.next_at - (select min(a.started_at) from attempts a
                join messages m using (account_id, message_id)
                where m.account_id = p.account_id and m.instance_id = p.instance_id and m.recipient = p.recipient))::float8
             from recipient_pacing p where p.account_id = n.account_id and p.instance_id = n.instance_id and p.recipient = $3),
            (select extract(epoch from s.ends_at - now())::float8 from suppressions s where s.account_id = n.account_id
             and s.recipient = $3 and s.scope = 'non_essential' and s.source = 'provider'),
            exists (select from suppressions s where s.account_id = n.account_id and s.recipient = $3)
        from instances n where n.account_id = $1 and n.instance_id = $2";
    let found = database.query_one(sql, &[&account_id, &instance, &recipient]).await.expect("a row");
    let number = |place: usize| found.get::<_, Option<f64>>(place);
    assert_eq!(found.get::<_, &str>(0) == "suspect", row.class == "instance", "{name}");
    let rests = |left: Option<f64>, wait: Option<f64>, what: &str| match (left, wait) {
        (None, None) => {}
        (Some(left), Some(wait)) => {
            assert!(left <= wait && left > wait - 90.0, "{name}: {what} for {left} s instead of {wait}");
        }
        other => panic!("{name}: {what}: {other:?}"),
    };
    rests(number(1), row.hold(), "the sender rests");
    let cools = row.wait.filter(|_| row.class == "recipient");
    rests(number(4), cools, "the recipient is spared");
    assert_eq!(found.get::<_, bool>(5), row.opt_out || cools.is_some(), "{name}");
    if row.class == "throttle_pair" {
        // The pair's own pace is 6 s; more is the pause, and the burst of three that it takes back.
        assert!(number(3).is_some_and(|left| left > 12.9), "{name}: {:?}", number(3));
    }
    if matches!(row.class.as_str(), "instance" | "throttle_sender") {
        let reason = found.get::<_, Option<String>>(2).unwrap_or_default();
        assert!(reason.starts_with(&format!("meta {}", row.code)), "{name}: {reason}");
    }
}
