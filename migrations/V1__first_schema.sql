-- Gatepost's schema. Conventions:
--   * tenant data is keyed by account_id first, so every table can be distributed by tenant unchanged;
--   * rows that are not final carry due_at, the moment somebody must look at them again;
--   * time is the database's: processes with a wrong clock cannot shorten a lease or jump a queue.

-- In rising order, so that "<" compares ranks. The last three are final and off the ladder.
create type message_status as enum
    ('queued', 'sending', 'unknown', 'sent', 'delivered', 'read', 'failed', 'expired', 'canceled');

create table accounts (
    account_id    bigint generated always as identity primary key,
    name          text not null,
    plan          text check (plan in ('starter', 'growth', 'scale')),
    status        text not null default 'active' check (status in ('active', 'suspended')),
    api_access    boolean not null default true,
    daily_limit   integer check (daily_limit >= 0),
    monthly_limit integer check (monthly_limit >= 0),
    timezone      text not null default 'UTC',
    created_at    timestamptz not null default now()
);
comment on column accounts.plan is 'null: no active plan, every send is refused with active_plan_required';
comment on column accounts.api_access is 'the api_access module; false: sends are refused with module_not_enabled';
comment on column accounts.daily_limit is 'reviewed override of the plan''s daily limit; null: the plan''s own';
comment on column accounts.monthly_limit is 'reviewed override of the plan''s monthly limit; null: the plan''s own';
comment on column accounts.timezone is 'IANA name; the day and the month of the limits begin at its midnight';

create table api_keys (
    account_id bigint not null references accounts,
    key_id     uuid not null,
    name       text not null,
    hint       text not null,
    key_hash   bytea not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    primary key (account_id, key_id)
);
comment on column api_keys.hint is 'the first characters of the key, to tell keys apart in lists';
comment on column api_keys.key_hash is 'SHA-256 of the whole key; the key itself has 256 random bits, so no slow hash is needed';
create unique index api_keys_by_hash on api_keys (key_hash);

create table instances (
    account_id       bigint not null references accounts,
    instance_id      text not null,
    name             text not null,
    provider         text not null check (provider in ('meta', 'evolution', 'sandbox')),
    base_url         text not null,
    phone_number_id  text,
    token_sealed     bytea,
    connection       text not null default 'open' check (connection in ('open', 'connecting', 'close', 'suspect')),
    paused_at        timestamptz,
    paused_reason    text,
    hold_until       timestamptz,
    hold_reason      text,
    interval_us      bigint not null check (interval_us > 0),
    burst            integer not null default 1 check (burst > 0),
    created_at       timestamptz not null default now(),
    primary key (account_id, instance_id)
);
comment on column instances.instance_id is 'as given by the operator; customers name it in every request';
comment on column instances.phone_number_id is 'Meta''s id of the business number; callbacks are routed by it';
comment on column instances.token_sealed is 'the provider''s access token, encrypted with the process''s secret key';
comment on column instances.connection is 'close refuses sends at once; connecting and suspect accept and hold them';
comment on column instances.paused_at is 'set: paused for review, sends are refused and queued messages wait';
comment on column instances.hold_until is 'the provider throttled the whole sender until then';
comment on column instances.interval_us is 'microseconds between two messages: the pacing rate';
comment on column instances.burst is 'how many messages may leave at once after a rest';
create unique index instances_by_phone_number on instances (phone_number_id) where phone_number_id is not null;

-- The schedule of each instance, one for the whole fleet: GCRA's theoretical arrival times. The row 'priority' is the
-- real schedule every message takes its slot from. Standard messages take only slots close at hand, so that a one-time
-- code finds the near future free; further ones are told when to come back, and 'standard' is how far that has got.
create table pacing (
    account_id  bigint not null,
    instance_id text not null,
    lane        text not null check (lane in ('priority', 'standard')),
    next_at     timestamptz not null,
    primary key (account_id, instance_id, lane)
) with (fillfactor = 50);
comment on column pacing.next_at is 'when the schedule is empty again';

create table recipient_pacing (
    account_id  bigint not null,
    instance_id text not null,
    recipient   text not null,
    next_at     timestamptz not null,
    primary key (account_id, instance_id, recipient)
) with (fillfactor = 70);
comment on table recipient_pacing is 'the provider''s limit per pair of sender and recipient; rows whose next_at has passed are swept';
comment on column recipient_pacing.next_at is 'when the pair''s schedule is empty again';
create index recipient_pacing_by_age on recipient_pacing (next_at);

create table quota_usage (
    account_id bigint not null,
    period     text not null check (period in ('day', 'month')),
    starts_on  date not null,
    used       integer not null default 0 check (used >= 0),
    primary key (account_id, period, starts_on)
) with (fillfactor = 50);
comment on column quota_usage.starts_on is 'first day of the period in the account''s time zone';
comment on column quota_usage.used is 'reserved when a message is accepted, given back when it never reached the provider';

create table idempotency_keys (
    account_id  bigint not null,
    key         text not null,
    body_hash   bytea not null,
    message_id  uuid not null,
    log_id      bigint not null,
    answer_code smallint,
    answer      text,
    created_at  timestamptz not null default now(),
    primary key (account_id, key)
);
comment on column idempotency_keys.body_hash is 'SHA-256 of the request body: the same key with another body is a mistake';
comment on column idempotency_keys.answer is 'the first answer where it was not the plain 202; null: the 202 with message_id and log_id';
create index idempotency_keys_by_age on idempotency_keys (created_at);

create sequence policy_log_ids;

create table policy_log (
    account_id     bigint not null,
    log_id         bigint not null default nextval('policy_log_ids'),
    created_at     timestamptz not null default now(),
    api_key_id     uuid not null,
    instance_id    text,
    purpose        text,
    action         text not null check (action in ('allow', 'throttle', 'block', 'pause_instance')),
    risk_score     smallint not null,
    error_code     text,
    signals        jsonb not null default '[]',
    recipient_hash bytea,
    message_id     uuid,
    request_id     text not null,
    primary key (account_id, log_id)
);
comment on table policy_log is 'every decision past authentication; no message text and no clear phone number';
comment on column policy_log.recipient_hash is 'HMAC of the phone number under a key derived from the secret key';
comment on column policy_log.signals is 'the rules that fired, as the guard names them';

create table messages (
    account_id          bigint not null,
    message_id          uuid not null,
    log_id              bigint not null,
    instance_id         text not null,
    purpose             text not null,
    lane                text not null,
    recipient           text not null,
    body                text not null,
    status              message_status not null default 'queued',
    sequence            smallint not null default 0,
    attempts            smallint not null default 0,
    calls               smallint not null default 0,
    in_flight           boolean not null default false,
    unsent              boolean not null default false,
    lease               uuid,
    due_at              timestamptz,
    not_before          timestamptz,
    slot_at             timestamptz,
    pair_reserved       boolean not null default false,
    expires_at          timestamptz not null,
    provider_message_id text,
    reached_provider    boolean not null default false,
    error               text,
    quota_day           date not null,
    quota_month         date not null,
    request_id          text not null,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (account_id, message_id)
) with (fillfactor = 70);
comment on column messages.message_id is 'UUIDv7: ordered by time of acceptance';
comment on column messages.recipient is 'E.164 digits without the plus';
comment on column messages.sequence is 'number of rises of status so far';
comment on column messages.attempts is 'attempts that count towards the retry budget (a throttle answer does not)';
comment on column messages.calls is 'provider calls begun; the number of the last row in attempts';
comment on column messages.in_flight is 'a provider call was begun and its outcome is not recorded yet: never call again without evidence';
comment on column messages.unsent is 'with status unknown: the last call is known by now not to have sent it, so it may be attempted again';
comment on column messages.lease is 'token of the worker that claimed the row; the lease ends at due_at';
comment on column messages.due_at is 'when somebody must look at the row again; null: final';
comment on column messages.not_before is 'not to be attempted earlier: a retry''s delay, a pacing slot, a throttle';
comment on column messages.slot_at is 'the pacing slot already reserved for the next attempt';
comment on column messages.pair_reserved is 'the per-recipient slot for the next attempt is already taken';
comment on column messages.reached_provider is 'an attempt reached (or may have reached) the provider: the quota is used up';
comment on column messages.quota_day is 'the day whose counter holds this message''s reservation';
comment on column messages.quota_month is 'the month whose counter holds this message''s reservation';
create index messages_due on messages (lane, due_at) where due_at is not null;

create table attempts (
    account_id          bigint not null,
    message_id          uuid not null,
    attempt             smallint not null,
    started_at          timestamptz not null default now(),
    finished_at         timestamptz,
    outcome             text,
    code                integer,
    reason              text,
    provider_message_id text,
    primary key (account_id, message_id, attempt)
);
comment on column attempts.attempt is 'counts every provider call of the message, from 1';
comment on column attempts.outcome is 'null: call in flight; accepted, unknown, or the class of the failure';
comment on column attempts.code is 'the provider''s error code';
create index attempts_by_provider_id on attempts (account_id, provider_message_id) where provider_message_id is not null;

create table suppressions (
    account_id bigint not null references accounts,
    recipient  text not null,
    scope      text not null check (scope in ('all', 'non_essential')),
    source     text not null check (source in ('inbound', 'provider', 'operator', 'api')),
    created_at timestamptz not null default now(),
    primary key (account_id, recipient, scope)
);
comment on column suppressions.created_at is 'when it was asked for: by a person, the time of their message';
comment on column suppressions.scope is 'all: nothing is sent; non_essential: only authentication messages pass';

create table events (
    account_id      bigint not null,
    event_id        uuid not null,
    kind            text not null,
    instance_id     text not null,
    message_id      uuid,
    recipient       text,
    status          message_status,
    previous_status message_status,
    sequence        smallint,
    state           text,
    previous_state  text,
    error           text,
    reason          text,
    message_text    text,
    request_id      text,
    occurred_at     timestamptz not null default now(),
    primary key (account_id, event_id)
);
comment on table events is 'append-only: what happened, as customers are told; written in the commit of what it reports';
comment on column events.recipient is 'E.164 digits: the person written to, or who wrote';
comment on column events.sequence is 'number of the message''s rises of status up to this one, so that late arrivals can be told';
comment on column events.state is 'instance.connection_updated only: the connection''s state';
comment on column events.message_text is 'recipient.opted_out and opted_in only: the words the person sent';

create table webhook_endpoints (
    account_id            bigint not null references accounts,
    endpoint_id           uuid not null,
    url                   text not null,
    events                text[],
    secret_sealed         bytea not null,
    previous_secret       bytea,
    previous_secret_until timestamptz,
    failing_since         timestamptz,
    disabled_at           timestamptz,
    disabled_reason       text,
    created_at            timestamptz not null default now(),
    primary key (account_id, endpoint_id)
);
comment on column webhook_endpoints.events is 'kinds of event wanted; null: all';
comment on column webhook_endpoints.secret_sealed is 'signing secret, encrypted with the process''s secret key';
comment on column webhook_endpoints.previous_secret is 'sealed; also signs until previous_secret_until, so that a rotation breaks nobody';
comment on column webhook_endpoints.failing_since is 'first failure since the last success; five days of it disable the endpoint';

create table webhook_deliveries (
    account_id  bigint not null,
    event_id    uuid not null,
    endpoint_id uuid not null,
    status      text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
    attempts    smallint not null default 0,
    due_at      timestamptz,
    not_before  timestamptz,
    lease       uuid,
    created_at  timestamptz not null default now(),
    finished_at timestamptz,
    primary key (account_id, event_id, endpoint_id)
) with (fillfactor = 70);
comment on column webhook_deliveries.due_at is 'when somebody must look at the row again; null: final';
comment on column webhook_deliveries.not_before is 'not to be attempted earlier: a retry''s delay';
comment on column webhook_deliveries.attempts is 'attempts made so far; the next one''s time follows from it';
comment on column webhook_deliveries.lease is 'token of the worker that claimed the row; the lease ends at due_at';
create index webhook_deliveries_due on webhook_deliveries (due_at) where due_at is not null;

create table webhook_attempts (
    account_id  bigint not null,
    event_id    uuid not null,
    endpoint_id uuid not null,
    attempt     smallint not null,
    at          timestamptz not null default now(),
    duration_ms integer not null,
    http_status smallint,
    error       text,
    answer      text,
    primary key (account_id, event_id, endpoint_id, attempt)
);
comment on column webhook_attempts.answer is 'the beginning of the endpoint''s answer, at most 16 KiB';
comment on column webhook_attempts.attempt is 'counts every attempt of the delivery, from 1';

-- Raw provider callbacks: stored before they are answered, applied afterwards.
create table callbacks (
    account_id  bigint not null,
    body_hash   bytea not null,
    provider    text not null,
    body        bytea not null,
    received_at timestamptz not null default now(),
    due_at      timestamptz,
    tries       smallint not null default 0,
    heard       boolean not null default false,
    primary key (account_id, body_hash)
);
comment on column callbacks.account_id is 'the account of the first number named in the body; 0: none of ours (one body may speak of several accounts)';
comment on column callbacks.body_hash is 'SHA-256 of the body: a repeated callback is the same row';
comment on column callbacks.due_at is 'when it must be applied (again); null: applied, or given up';
comment on column callbacks.tries is 'how often it was taken up; more than a few times without an end, it is put off';
comment on column callbacks.heard is 'everything but the reports of messages not known yet has taken effect';
create index callbacks_due on callbacks (due_at) where due_at is not null;
create index callbacks_by_age on callbacks (received_at);

create table inbound_messages (
    account_id          bigint not null,
    instance_id         text not null,
    provider_message_id text not null,
    sender              text,
    received_at         timestamptz not null,
    primary key (account_id, instance_id, provider_message_id)
);
create index inbound_messages_by_age on inbound_messages (received_at);
comment on table inbound_messages is 'what people wrote to an instance, without its text: told apart from repeats by the provider''s id';

-- Every process caches accounts, keys and instances; a change tells all of them, whoever made it.
create function announce_change() returns trigger language plpgsql as $$
begin
    perform pg_notify('gatepost_changes', coalesce(new.account_id, old.account_id)::text);
    return null;
end $$;
create trigger announce after insert or update or delete on accounts for each row execute function announce_change();
create trigger announce after insert or update or delete on api_keys for each row execute function announce_change();
create trigger announce after insert or update or delete on instances for each row execute function announce_change();
