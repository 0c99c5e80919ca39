-- What makes an instance suspect and lets it be trusted again, what is asked about messages of unknown outcome, and the
-- second way in which Evolution's callbacks may be vouched for.

alter table instances add column probe uuid;
comment on column instances.probe is 'while it is suspect: the one message that may leave nevertheless, to see whether it can send again';

create table suspicions (
    account_id   bigint not null,
    instance_id  text not null,
    cause        text not null check (cause in ('refusal', 'silence')),
    since        timestamptz not null default now(),
    probe_at     timestamptz,
    pause_ms     bigint not null,
    tries        smallint not null default 0,
    recovered_at timestamptz,
    primary key (account_id, instance_id)
) with (fillfactor = 70);
comment on table suspicions is 'why an instance is suspect, or was the last time, and when it is tried again; apart from instances, whose changes every process is told';
comment on column suspicions.cause is 'refusal: the provider refused the sender; silence: nothing that was sent was acknowledged any more';
comment on column suspicions.since is 'when it became suspect the last time';
comment on column suspicions.probe_at is 'when it may be tried by one message, or, while that is under way, when it has failed; null: not to be tried';
comment on column suspicions.pause_ms is 'how long the last wait for a try was; each try in vain lengthens it';
comment on column suspicions.tries is 'how often it was tried in vain since';
comment on column suspicions.recovered_at is 'when it last went on after a suspicion';
create index suspicions_to_probe on suspicions (probe_at) where probe_at is not null;

create table unacknowledged (
    account_id  bigint not null,
    instance_id text not null,
    recipient   text not null,
    provider_message_id text,
    sent_at     timestamptz not null,
    rejected    boolean not null default false,
    primary key (account_id, instance_id, recipient)
);
comment on table unacknowledged is 'the first few people to whom an Evolution instance sent something since WhatsApp was last heard of through it';
comment on column unacknowledged.sent_at is 'when the call was begun that was accepted';
comment on column unacknowledged.rejected is 'WhatsApp did not take the message';

alter table connection_looks drop column revivals;
alter table connection_looks add column heard_at timestamptz;
comment on column connection_looks.heard_at is 'when a callback last showed that the instance is in touch with WhatsApp; null: never, as far as the present callback address goes';

alter table messages add column look_ups smallint not null default 0;
comment on column messages.look_ups is 'with status unknown: how often the provider was asked whether it has the message';

alter table instances add column own_number text;
comment on column instances.own_number is 'Evolution: the digits of the number that it was connected with when that was first told; another one later makes it suspect';

alter table instances add column callback_jwt_key_sealed bytea;
comment on column instances.callback_jwt_key_sealed is 'the key, encrypted, with which its Evolution server signs a token for each event; null: the address alone vouches for what comes to it';

alter table instances
    add column previous_callback_token_hash bytea,
    add column previous_callback_jwt_key_sealed bytea,
    add column previous_callback_until timestamptz;
comment on column instances.previous_callback_token_hash is 'SHA-256 of the token before the present one: its server may not know yet that it changed, and repeats what it could not deliver to the old address';
comment on column instances.previous_callback_jwt_key_sealed is 'the key, encrypted, that belongs to the previous token';
comment on column instances.previous_callback_until is 'when the previous token ends';
create index instances_by_previous_callback_token on instances (previous_callback_token_hash)
    where previous_callback_token_hash is not null;
