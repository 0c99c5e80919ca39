//! The provider and the customers' endpoint, when they are slow or dead, answer with errors or nonsense, or hang up in the
//! middle of an answer.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::pause;
use crate::links::Link;
use crate::stage::Stage;

pub(super) async fn provider(stage: &mut Stage, random: &mut SmallRng) {
    let link = stage.links.of(Link::DeliverProvider);
    match random.random_range(0..5) {
        0 => link.cut().await,
        1 => link.stall(),
        2 => link.garble(),
        3 => link.break_answers(),
        _ => link.slow(Duration::from_millis(random.random_range(100..2_000))),
    }
    pause(random, 1_000, 8_000).await;
    stage.links.of(Link::DeliverProvider).heal().await;
}

pub(super) async fn customer(stage: &mut Stage, random: &mut SmallRng) {
    match random.random_range(0..6) {
        0 => stage.links.of(Link::NotifyCustomer).cut().await,
        1 => stage.links.of(Link::NotifyCustomer).reset(),
        2 => stage.links.of(Link::NotifyCustomer).garble(),
        3 => stage.links.of(Link::NotifyCustomer).break_answers(),
        4 => stage.receiver.hold(true),
        _ => stage.receiver.always_answer([500, 503, 429, 404][random.random_range(0..4)]),
    }
    pause(random, 1_000, 8_000).await;
    stage.receiver.hold(false);
    stage.receiver.always_answer(200);
    stage.links.of(Link::NotifyCustomer).heal().await;
}
