//! `gateway admin log …`: why a message was accepted or refused.

use serde_json::{Map, Value};

use super::answer::{Answer, or_dash, table};
use super::{Admin, AdminError, parse, require_account};
use crate::store::policy_log::{self, Decision};

/// `gateway admin log …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Explain one decision.
    Show {
        /// Its number, as answers and webhooks name it.
        #[arg(value_parser = parse::log_id)]
        log_id: i64,
        /// Only if it is this account's.
        #[arg(long, value_parser = parse::account_id)]
        account: Option<i64>,
    },
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    let Command::Show { log_id, account } = command;
    let session = admin.session().await?;
    if let Some(decision) = policy_log::find(&session, log_id, account).await? {
        return Ok(Answer::whole(&decision, explained(&decision)));
    }
    let Some(account_id) = account else { return Err(AdminError::NoDecision(log_id)) };
    require_account(&session, account_id).await?;
    Err(AdminError::Nothing { account_id, what: format!("decision {log_id}") })
}

/// One fact a line, then the signals.
fn explained(decision: &Decision) -> String {
    let fixed = [
        ("decision", decision.log_id.to_string()),
        ("account", decision.account_id.to_string()),
        ("at", decision.at.to_string()),
        ("request", decision.request_id.clone()),
        ("API key", decision.api_key_id.to_string()),
        ("instance", or_dash(decision.instance_id.as_deref().map(|id| plain(&id.into())))),
        ("purpose", or_dash(decision.purpose.as_ref())),
        ("action", decision.action.clone()),
        ("risk score", decision.risk_score.to_string()),
        ("error", or_dash(decision.error.as_ref())),
        ("message", or_dash(decision.message_id)),
        ("rules", decision.rules_version.clone().unwrap_or_else(|| "not asked".to_owned())),
    ];
    let mut rows: Vec<[String; 2]> = fixed.map(|(name, value)| [name.to_owned(), value]).into();
    match &decision.facts {
        Some(Value::Object(facts)) => {
            rows.extend(facts.iter().map(|(name, value)| [name.clone(), plain(value)]));
        }
        Some(other) => rows.push(["facts".to_owned(), plain(other)]),
        None => {}
    }
    format!("{}\n\n{}", table(&rows), signals(&decision.signals))
}

fn signals(signals: &Value) -> String {
    let fired: Vec<[String; 3]> = match signals {
        Value::Array(signals) => signals.iter().map(signal).collect(),
        Value::Null => Vec::new(),
        other => vec![signal(other)],
    };
    if fired.is_empty() {
        return "no rule fired".to_owned();
    }
    let heads = ["rule", "weight", "facts"].map(str::to_owned);
    table(&[&[heads], &fired[..]].concat())
}

/// Rule, weight, and everything else it says.
fn signal(signal: &Value) -> [String; 3] {
    let Value::Object(members) = signal else { return ["-".to_owned(), "-".to_owned(), plain(signal)] };
    let mut facts = Map::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("rule" | "weight", _) => {}
            ("facts", Value::Object(inner)) => facts.extend(inner.clone()),
            _ => drop(facts.insert(name.clone(), value.clone())),
        }
    }
    let shown: Vec<String> = facts.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let facts = if shown.is_empty() { "-".to_owned() } else { shown.join(" ") };
    [or_dash(members.get("rule").map(plain)), or_dash(members.get("weight").map(plain)), facts]
}

/// A text as it is, unless it would not stay in its place; everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.chars().any(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::signals;

    #[test]
    fn signals_are_a_table_of_whatever_they_say() {
        let fired = json!([
            {"rule": "same_text", "weight": 60, "facts": {"recipients": 31, "window_seconds": 600}},
            {"rule": "link", "weight": 35},
            {"rule": "words", "weight": 1.5, "facts": {"found": ["a b", 2]}, "note": "x\ny"},
            "odd",
        ]);
        let expected = "rule       weight  facts\n\
                        same_text  60      recipients=31 window_seconds=600\n\
                        link       35      -\n\
                        words      1.5     found=[\"a b\",2] note=\"x\\ny\"\n\
                        -          -       odd";
        assert_eq!(signals(&fired), expected);
    }

    #[test]
    fn without_signals_no_rule_fired() {
        for none in [json!([]), json!(null)] {
            assert_eq!(signals(&none), "no rule fired");
        }
    }
}
