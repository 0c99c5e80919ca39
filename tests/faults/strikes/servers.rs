//! The servers crash, and come back with their data or without.

use rand::rngs::SmallRng;

use super::pause;
use crate::stage::Stage;
use crate::support::queues::Queues;

pub(super) async fn postgres(stage: &mut Stage, random: &mut SmallRng) {
    stage.postgres.kill().await;
    pause(random, 200, 3_000).await;
    stage.postgres.restart().await;
}

pub(super) async fn rabbitmq(stage: &mut Stage, random: &mut SmallRng) {
    stage.rabbitmq.kill().await;
    pause(random, 200, 3_000).await;
    stage.rabbitmq.restart().await;
    stage.queues = Queues::of(&stage.world).await;
}

/// Its disk is lost: it comes back empty.
pub(super) async fn wiped_rabbitmq(stage: &mut Stage, random: &mut SmallRng) {
    stage.rabbitmq.kill().await;
    stage.rabbitmq.wipe();
    pause(random, 200, 3_000).await;
    stage.rabbitmq.restart().await;
    stage.queues = Queues::declared_again(&stage.world).await;
}

/// It believes its memory to be used up, and takes nothing from publishers.
pub(super) async fn alarmed_rabbitmq(stage: &mut Stage, random: &mut SmallRng) {
    let limit = async |limit: &str| {
        let set = ["rabbitmqctl", "set_vm_memory_high_watermark", limit];
        stage.rabbitmq.tool(&set).await.unwrap_or_else(|error| panic!("{set:?}: {error}"));
    };
    limit("0").await;
    pause(random, 2_000, 10_000).await;
    limit("0.4").await;
}
