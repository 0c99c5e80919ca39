use super::{Duration, EndpointKey, Instant, KEPT_LANES, Lanes, Places, Uuid};

fn endpoint(number: u128) -> EndpointKey {
    EndpointKey { account_id: 1, endpoint_id: Uuid::from_u128(number) }
}

type Item = (EndpointKey, usize);

fn admit(lanes: &mut Lanes<Item>, of: u128, count: usize, now: Instant) -> Vec<Duration> {
    let endpoint = endpoint(of);
    (0..count)
        .filter_map(|number| lanes.admit(endpoint, (endpoint, number), now))
        .map(|(_, pause)| pause)
        .collect()
}

fn begin(lanes: &mut Lanes<Item>, now: Instant) -> Vec<EndpointKey> {
    let begun: Vec<EndpointKey> = lanes.take(256, now).into_iter().map(|(endpoint, _)| endpoint).collect();
    for endpoint in &begun {
        lanes.begin(*endpoint, now);
    }
    begun
}

/// Lanes in which these endpoints have answered once, in this time.
fn answered_in(milliseconds: u64, endpoints: &[u128]) -> (Lanes<Item>, Instant) {
    let start = Instant::now();
    let end = start + Duration::from_millis(milliseconds);
    let mut lanes = Lanes::new(Places::of(256));
    for number in endpoints {
        admit(&mut lanes, *number, 1, start);
        begin(&mut lanes, start);
        lanes.finish(endpoint(*number), start, end);
    }
    (lanes, end)
}

#[test]
fn an_endpoint_gets_more_places_once_it_has_answered_quickly() {
    for (milliseconds, places) in [(5, 32), (999, 32), (1_000, 8), (15_000, 8)] {
        let (mut lanes, now) = answered_in(milliseconds, &[1]);
        admit(&mut lanes, 1, 100, now);
        assert_eq!(begin(&mut lanes, now).len(), places.min(100), "{milliseconds}");
    }
    let now = Instant::now();
    let mut lanes = Lanes::new(Places::of(256));
    admit(&mut lanes, 1, 100, now);
    assert_eq!(begin(&mut lanes, now).len(), 8, "never heard of");
}

#[test]
fn places_are_divided_whatever_their_number() {
    for (total, endpoint, probe) in
        [(1, 1, 1), (2, 1, 1), (4, 2, 2), (20, 10, 8), (256, 32, 8), (10_000, 32, 8)]
    {
        let places = Places::of(total);
        assert_eq!((places.endpoint, places.probe), (endpoint, probe), "{total}");
    }
}

#[test]
fn a_burst_at_a_dead_endpoint_leaves_places_and_time_for_a_healthy_one() {
    let start = Instant::now();
    let mut lanes = Lanes::new(Places::of(256));
    let put_off = admit(&mut lanes, 1, 10_000, start);
    assert!(put_off.len() >= 9_000, "{} were put off", put_off.len());
    assert_eq!(begin(&mut lanes, start).len(), 8);
    admit(&mut lanes, 2, 3, start);
    assert_eq!(begin(&mut lanes, start), [endpoint(2); 3], "begun at once");

    let later = start + Duration::from_secs(2);
    assert!(!lanes.trim(later).is_empty());
    assert!(lanes.waiting() <= 8, "{} still hold their jobs", lanes.waiting());
}

#[test]
fn slow_endpoints_together_leave_half_of_the_places() {
    let slow: Vec<u128> = (1..=40).collect();
    let (mut lanes, now) = answered_in(2_000, &slow);
    for number in slow {
        admit(&mut lanes, number, 20, now);
    }
    let begun = begin(&mut lanes, now);
    assert_eq!(begun.len(), 128);
    assert!((1..=40).all(|number| begun.contains(&endpoint(number))), "each in turn");
    admit(&mut lanes, 99, 5, now);
    assert_eq!(begin(&mut lanes, now), [endpoint(99); 5]);
}

#[test]
fn what_is_put_off_returns_at_the_pace_of_its_endpoint() {
    // 32 places, 100 ms each: 320 a second.
    let (mut lanes, now) = answered_in(100, &[1]);
    let pauses = admit(&mut lanes, 1, 1_000, now);
    let kept = 1_000 - pauses.len();
    assert_eq!(kept, 160);
    assert!(pauses.is_sorted());
    let longest = pauses.last().unwrap().as_secs_f64();
    assert!((longest - 0.5 - pauses.len() as f64 / 320.0).abs() < 0.01, "{longest}");

    let (mut lanes, now) = answered_in(15_000, &[1]);
    let pauses = admit(&mut lanes, 1, 10_000, now);
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(60_500)));
    let soon = pauses.iter().filter(|pause| **pause < Duration::from_secs(30)).count();
    assert!((3_000..7_000).contains(&soon), "{soon} of 10000 in the first half of a minute");
}

#[test]
fn endpoints_take_turns() {
    let (mut lanes, now) = answered_in(10, &[1, 2]);
    admit(&mut lanes, 1, 10, now);
    admit(&mut lanes, 2, 10, now);
    let order: Vec<EndpointKey> = lanes.take(4, now).into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(order, [endpoint(1), endpoint(2), endpoint(1), endpoint(2)]);
}

#[test]
fn places_come_back_however_a_delivery_ends() {
    let (mut lanes, now) = answered_in(10, &[1]);
    admit(&mut lanes, 1, 2, now);
    let taken = lanes.take(256, now);
    assert_eq!((taken.len(), lanes.taken(), lanes.waiting()), (2, 2, 0));
    lanes.drop_taken(endpoint(1));
    lanes.begin(endpoint(1), now);
    lanes.finish(endpoint(1), now, now);
    assert_eq!(lanes.taken(), 0);
    admit(&mut lanes, 1, 40, now);
    assert_eq!(begin(&mut lanes, now).len(), 32);
}

#[test]
fn idle_endpoints_are_forgotten_in_the_end() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Places::of(256));
    for number in 0..10_000 {
        admit(&mut lanes, number, 1, now);
        begin(&mut lanes, now);
        lanes.finish(endpoint(number), now, now);
    }
    assert!(lanes.lanes.len() <= KEPT_LANES);
}
