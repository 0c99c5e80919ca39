//! What a test remembers of a life, as the audit's witnesses.

use std::collections::HashMap;
use std::time::Duration;

use gatepost::audit::{Accepted, Answered, Call, Options, Received, Report, Witnesses, audit};
use gatepost::config::Hidden;
use gatepost::domain::id::MessageKey;
use gatepost::store::Pool;
use uuid::Uuid;

use super::receiver::Receiver;
use super::world::{Customer, World};

/// An id as the API writes it.
pub fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

/// What a sender was told.
pub fn told(customer: &Customer, key: Option<&str>, answered: Answered) -> Accepted {
    Accepted { account_id: customer.account_id, key: key.map(str::to_owned), answered }
}

/// The calls the world's sandbox got, and the webhooks the receiver did.
pub async fn witnesses(world: &World, receiver: &Receiver, accepted: HashMap<Uuid, Accepted>) -> Witnesses {
    let mut calls: HashMap<Uuid, Vec<Call>> = HashMap::new();
    for call in world.calls("").await["calls"].as_array().expect("a list") {
        let mark = call["opaque"].as_str().expect("our mark");
        let (key, attempt) = mark.rsplit_once(':').expect("a call's number");
        let key: MessageKey = key.parse().expect("a message's key");
        let outcome = call["outcome"].as_str().expect("a word");
        let refused = outcome.starts_with("refused") || outcome == "closed";
        let call = Call { attempt: attempt.parse().expect("a number"), accepted: !refused };
        calls.entry(key.message_id).or_default().push(call);
    }
    let mut received = HashMap::new();
    for webhook in receiver.received() {
        let body = &webhook.body;
        let of_message = Received {
            message_id: body["message_id"].as_str().map(uuid),
            sequence: body["sequence"].as_i64().map(|n| i16::try_from(n).expect("few rises")),
            status: body["status"].as_str().map(str::to_owned),
        };
        received.insert(uuid(&webhook.id), of_message);
    }
    Witnesses {
        accepted: Some(accepted),
        calls: Some(calls),
        received: Some(received),
        ..Witnesses::default()
    }
}

/// Audits a database that has come to rest.
pub async fn audited(database_url: &str, witnesses: &Witnesses) -> Report {
    let pool = Pool::new(&Hidden(database_url.to_owned()), 1).expect("an address");
    let options = Options { settled: true, overdue_after: Duration::from_secs(300), ..Options::default() };
    audit(&pool, &options, witnesses).await.expect("it can be read")
}

/// The ids of the checks that found something.
pub fn wrong(report: &Report) -> Vec<&'static str> {
    report.wrong().map(|check| check.id).collect()
}
