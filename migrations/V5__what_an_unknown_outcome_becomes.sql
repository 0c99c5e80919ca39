-- What becomes of a message whose outcome stays unknown, for each instance.
alter table instances add column on_unknown text not null default 'fail' check (on_unknown in ('fail', 'resend'));
comment on column instances.on_unknown is 'without evidence by the deadline: fail, or resend, which may send twice';
