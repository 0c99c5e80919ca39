-- The words an account adds to the built-in ones, and what its instances answer to an opt-out.

create table opt_out_words (
    account_id bigint not null references accounts,
    folded     text not null,
    word       text not null,
    wish       text not null check (wish in ('opt_out', 'opt_in')),
    created_at timestamptz not null default now(),
    primary key (account_id, folded)
);
comment on table opt_out_words is 'what an account''s recipients opt out and in with besides the built-in words, as their whole message';
comment on column opt_out_words.folded is 'the word in the spelling that messages are compared in';
comment on column opt_out_words.word is 'as the operator wrote it';
comment on column opt_out_words.wish is 'what it asks for';

alter table instances add column opt_out_confirmation text;
comment on column instances.opt_out_confirmation is 'what people who opt out with a word are answered once; null: nothing';

-- A confirmation is a message like others, except that nobody decided on it and no allowance is used up.
alter table messages
    add column confirmation boolean not null default false,
    alter column log_id drop not null,
    alter column quota_day drop not null,
    alter column quota_month drop not null,
    add constraint messages_are_decided_on
        check (confirmation or (log_id is not null and quota_day is not null and quota_month is not null));
comment on column messages.confirmation is 'answers an opt-out: leaves although the recipient is suppressed, and only while it is by that wish';
