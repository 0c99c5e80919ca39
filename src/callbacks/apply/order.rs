//! In which order callbacks are applied, and which of them share a commit.

use super::said::Said;
use crate::callbacks::meta_payload::Payload;
use crate::store::callbacks::Callback;

/// Most reports in one commit: their messages are locked meanwhile. A callback may bring a thousand, and has a commit of its
/// own then.
const MOST: usize = 128;

/// What is applied in one commit.
pub(super) enum Share<C = Callback> {
    /// One callback, whatever it says.
    Alone(Said, C),
    /// Several that only report that messages arrive.
    Together(Vec<(Payload, C)>),
}

impl<C> Share<C> {
    /// Its callbacks.
    pub(super) fn into_callbacks(self) -> Vec<C> {
        match self {
            Self::Alone(_, callback) => vec![callback],
            Self::Together(arrivals) => arrivals.into_iter().map(|(_, callback)| callback).collect(),
        }
    }
}

/// Callbacks in the order in which they are to be applied. What they report of messages stays in its order, because a status that
/// comes late is not told any more, and so does everything else; only that one overtakes the other.
pub(super) fn shares(taken: Vec<Callback>) -> Vec<Share> {
    arranged(taken.into_iter().map(|callback| (Said::read(&callback), callback)))
}

fn arranged<C>(read: impl Iterator<Item = (Said, C)>) -> Vec<Share<C>> {
    let (mut shares, mut together, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = MOST;
    for (said, callback) in read {
        match said {
            Said::Arrivals(payload) if payload.updates.len() <= MOST => {
                if payload.updates.len() > room {
                    close(&mut shares, &mut together, &mut alone);
                    room = MOST;
                }
                room -= payload.updates.len();
                together.push((payload, callback));
            }
            said if said.reports() => {
                close(&mut shares, &mut together, &mut alone);
                room = MOST;
                shares.push(Share::Alone(said, callback));
            }
            said => alone.push((said, callback)),
        }
    }
    close(&mut shares, &mut together, &mut alone);
    shares
}

fn close<C>(shares: &mut Vec<Share<C>>, together: &mut Vec<(Payload, C)>, alone: &mut Vec<(Said, C)>) {
    if together.len() > 1 {
        shares.push(Share::Together(std::mem::take(together)));
    }
    let only = together.drain(..).map(|(payload, callback)| (Said::Arrivals(payload), callback));
    shares.extend(only.chain(alone.drain(..)).map(|(said, callback)| Share::Alone(said, callback)));
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{MOST, Said, Share, arranged};
    use crate::callbacks::meta_payload;

    /// A callback with so many reports of these statuses each, and a text if asked for.
    fn said(statuses: &[&str], times: usize, text: bool) -> Said {
        let report = |word: &&str| json!({"id": "wamid.1", "status": word, "timestamp": "1769904001"});
        let statuses: Vec<_> = (0..times).flat_map(|_| statuses.iter().map(report)).collect();
        let mut value = json!({"metadata": {"phone_number_id": "1"}, "statuses": statuses});
        if text {
            value["messages"] = json!([{"from": "966500000001", "id": "wamid.2", "timestamp": "1769904001", "type": "text",
                "text": {"body": "Hello"}}]);
        }
        let body = json!({"object": "whatsapp_business_account", "entry": [
            {"id": "2", "changes": [{"field": "messages", "value": value}]}]});
        let payload = meta_payload::parse(body.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
        Said::by_meta(payload.expect("it is of Meta's form"))
    }

    /// The order of callbacks, by their places; those that share a commit in brackets.
    fn order(said: Vec<Said>) -> String {
        let shares = arranged(said.into_iter().zip(0..));
        let shown = shares.into_iter().map(|share| {
            let together = matches!(share, Share::Together(_));
            let places: Vec<String> = share.into_callbacks().iter().map(i32::to_string).collect();
            if together { format!("[{}]", places.join(" ")) } else { places.join(" ") }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reports_keep_their_order_and_so_does_everything_else() {
        let sent = || said(&["sent"], 1, false);
        let text = || said(&[], 0, true);
        let failed = || said(&["failed"], 1, false);
        assert_eq!(order(vec![]), "");
        assert_eq!(order(vec![sent()]), "0");
        assert_eq!(order(vec![sent(), sent(), said(&["delivered", "read"], 1, false)]), "[0 1 2]");
        assert_eq!(order(vec![text(), sent(), text(), sent()]), "[1 3] 0 2");
        // What was reported of a message before it failed is told before, and what comes afterwards is told afterwards.
        assert_eq!(order(vec![sent(), sent(), failed(), sent(), sent()]), "[0 1] 2 [3 4]");
        assert_eq!(order(vec![text(), sent(), said(&["sent"], 1, true), text(), sent()]), "1 0 2 4 3");
    }

    #[test]
    fn a_commit_has_so_many_reports_at_most() {
        let large = || said(&["sent"], MOST, false);
        let sent = || said(&["sent"], 1, false);
        assert_eq!(order(vec![sent(), large(), sent(), sent()]), "0 1 [2 3]");
        assert_eq!(order(vec![sent(), said(&["sent"], MOST + 1, false), sent(), sent()]), "0 1 [2 3]");
        assert_eq!(order(vec![said(&["sent"], MOST - 1, false), sent(), sent()]), "[0 1] 2");
    }
}
