//! Jobs that nobody of ours would publish, and such that come twice.

use gatepost::broker::Queue;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::json;
use uuid::Uuid;

use super::pause;
use crate::stage::Stage;

/// Ids in a job that is far larger than ours.
const HUGE: usize = 20_000;

pub(super) async fn strange(stage: &mut Stage, random: &mut SmallRng) {
    let queue = [Queue::DeliverStandard, Queue::DeliverPriority, Queue::Notify][random.random_range(0..3)];
    let job = |ids: &[String]| json!({"v": 1, "kind": "deliver", "ids": ids}).to_string();
    match random.random_range(0..4) {
        0 => poison(stage, queue, b"\x00\xff not a job").await,
        1 => poison(stage, queue, br#"{"v":7,"kind":"deliver","ids":["1/2"]}"#).await,
        2 => {
            let ids: Vec<String> = (0..HUGE).map(|_| format!("1/{}", Uuid::now_v7())).collect();
            poison(stage, queue, job(&ids).as_bytes()).await;
        }
        _ => {
            // What was accepted a moment ago, once more, five times.
            let recent = stage.ledger.recent();
            for _ in 0..5 {
                stage.queues.publish(Queue::DeliverStandard, job(&recent).as_bytes()).await;
            }
        }
    }
    pause(random, 200, 1_500).await;
}

async fn poison(stage: &mut Stage, queue: Queue, job: &[u8]) {
    stage.queues.publish(queue, job).await;
    stage.poison += 1;
}
