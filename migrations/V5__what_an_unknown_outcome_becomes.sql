-- What becomes of a message whose outcome stays unknown, for each instance.
alter table instances add column on_unknown text not null default 'fail' check (on_unknown in ('fail', 'resend'));
alter table messages add column resent boolean not null default false;
comment on column messages.resent is 'with status unknown: sent again without evidence that the first call did not send it, which is done once';
comment on column instances.on_unknown is 'without evidence by the deadline: fail, or resend, which may send twice';
