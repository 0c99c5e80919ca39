//! `gateway admin account …`.

use clap::ValueEnum;

use super::answer::{Answer, or_dash};
use super::{Admin, AdminError, parse};
use crate::domain::account::Plan;
use crate::store::accounts::{self, LimitChange};

/// `gateway admin account …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account, with API access.
    Create(Create),
    /// Change the plan; without one every send is refused.
    SetPlan {
        /// The account's id.
        #[arg(value_parser = parse::account_id)]
        account: i64,
        /// The plan.
        #[arg(long)]
        plan: PlanChoice,
    },
    /// Give reviewed limits of its own in place of the plan's.
    SetLimits(SetLimits),
    /// Enable or disable the API access module.
    SetApiAccess {
        /// The account's id.
        #[arg(value_parser = parse::account_id)]
        account: i64,
        /// Whether sends are served.
        access: Switch,
    },
    /// Refuse every send from now on.
    Suspend {
        /// The account's id.
        #[arg(value_parser = parse::account_id)]
        account: i64,
    },
    /// Serve it again.
    Activate {
        /// The account's id.
        #[arg(value_parser = parse::account_id)]
        account: i64,
    },
    /// Show every account.
    List,
}

/// `gateway admin account create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// For people.
    #[arg(long, value_parser = parse::name)]
    pub name: String,
    /// The plan, which sets the limits.
    #[arg(long)]
    pub plan: Plan,
    /// Where its day begins: a name of the IANA database.
    #[arg(long, default_value = "UTC", value_parser = parse::timezone)]
    pub timezone: String,
}

/// `gateway admin account set-limits`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(super) struct SetLimits {
    /// The account's id.
    #[arg(value_parser = parse::account_id)]
    account: i64,
    /// Messages a day.
    #[arg(long, group = "change", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    daily: Option<i32>,
    /// Messages a calendar month.
    #[arg(long, group = "change", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    monthly: Option<i32>,
    /// Back to the plan's limits.
    #[arg(long, group = "change", conflicts_with_all = ["daily", "monthly"])]
    clear: bool,
}

/// A plan, or none.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PlanChoice {
    /// 100 a day, 2,000 a month.
    Starter,
    /// 500 a day, 10,000 a month.
    Growth,
    /// 1,500 a day, 30,000 a month.
    Scale,
    /// No active plan.
    None,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// Enabled.
    On,
    /// Disabled.
    Off,
}

impl PlanChoice {
    fn plan(self) -> Option<Plan> {
        match self {
            Self::Starter => Some(Plan::Starter),
            Self::Growth => Some(Plan::Growth),
            Self::Scale => Some(Plan::Scale),
            Self::None => None,
        }
    }
}

/// Makes an account and gives its id.
///
/// # Errors
/// [`AdminError::Store`].
pub async fn create(admin: &Admin, new: &Create) -> Result<i64, AdminError> {
    Ok(accounts::insert(&admin.session().await?, &new.name, new.plan, &new.timezone).await?)
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Create(new) => {
            let id = create(admin, &new).await?;
            Ok(Answer::done(id, format!("account {id} created")))
        }
        Command::SetPlan { account, plan } => {
            let plan = plan.plan();
            let found = accounts::set_plan(&admin.session().await?, account, plan).await?;
            let name = plan.map_or("none", Plan::as_str);
            changed(found, account, &format!("has the plan {name}"))
        }
        Command::SetLimits(limits) => {
            let change = if limits.clear {
                LimitChange::Clear
            } else {
                LimitChange::Set { daily: limits.daily, monthly: limits.monthly }
            };
            let found = accounts::set_limits(&admin.session().await?, limits.account, change).await?;
            changed(found, limits.account, "has the new limits")
        }
        Command::SetApiAccess { account, access } => {
            let enabled = access == Switch::On;
            let found = accounts::set_api_access(&admin.session().await?, account, enabled).await?;
            changed(found, account, if enabled { "has API access" } else { "has no API access" })
        }
        Command::Suspend { account } => {
            let found = accounts::set_suspended(&admin.session().await?, account, true).await?;
            changed(found, account, "is suspended")
        }
        Command::Activate { account } => {
            let found = accounts::set_suspended(&admin.session().await?, account, false).await?;
            changed(found, account, "is active")
        }
        Command::List => list(admin).await,
    }
}

fn changed(found: bool, account_id: i64, what: &str) -> Result<Answer, AdminError> {
    if found {
        Ok(Answer::done(account_id, format!("account {account_id} {what}")))
    } else {
        Err(AdminError::NoAccount(account_id))
    }
}

async fn list(admin: &Admin) -> Result<Answer, AdminError> {
    let rows = accounts::list(&admin.session().await?).await?;
    let heads = ["id", "name", "plan", "status", "api access", "daily", "monthly", "time zone"];
    Ok(Answer::list(&rows, heads, |row| {
        [
            row.account_id.to_string(),
            row.name.clone(),
            or_dash(row.plan.as_ref()),
            row.status.clone(),
            if row.api_access { "on" } else { "off" }.to_owned(),
            or_dash(row.daily_limit),
            or_dash(row.monthly_limit),
            row.timezone.clone(),
        ]
    }))
}
