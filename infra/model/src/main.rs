//! The command line of the model test.

use std::{path::PathBuf, process::ExitCode, rc::Rc, time::Instant};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;
use spelter::{backlog::CALLED_AT_ONCE, guards::Guard};

use crash_model::{
    clients::Whims,
    edges::{self, Crowd, Edge, Found},
    explore::{self, Deploy, Search},
    platform::Deployment,
    run::{Load, run},
};

/// A fifth of the time would go to the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Tries out the promise.
#[derive(Parser)]
struct Arguments {
    /// The template.
    #[arg(long, default_value = "template.yaml")]
    template: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many orders, and faults from seeds.
    Random(Random),
    /// A few orders, and every fault at every call.
    Exhaustive {
        /// And every second fault after the first; of these only each so many-th.
        #[arg(long)]
        pairs: Option<u64>,
    },
    /// What happens seldom, each tried on purpose.
    Edges {
        /// The crowd of one account, and what the queue looks through, are three thousandths of the real ones.
        #[arg(long)]
        small: bool,
    },
    /// Takes each guard away, and shows that it is missed.
    Teeth {
        /// Only this one.
        #[arg(long)]
        only: Option<String>,
        /// So many seeds are tried.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
    },
    /// One seed again, with all that happens.
    Replay {
        /// Which.
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        random: Random,
        /// Without this guard.
        #[arg(long)]
        without: Option<String>,
    },
}

#[derive(Args, Clone, Copy)]
struct Random {
    /// How many runs.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The seed of the first.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Orders in each run.
    #[arg(long, default_value_t = 100)]
    orders: usize,
    /// Accounts in each run.
    #[arg(long, default_value_t = 5)]
    accounts: usize,
    /// A fault strikes at one call in so many.
    #[arg(long, default_value_t = 100)]
    one_in: u32,
}

/// All there is to try.
const fn wild(orders: usize, accounts: usize) -> Load {
    let called_at_once = CALLED_AT_ONCE;
    Load {
        orders,
        accounts,
        whims: Whims::Any,
        mails_codes: true,
        has_balance: true,
        called_at_once,
    }
}

impl Random {
    fn search(self) -> Search {
        let Self { seeds, first, orders, accounts, one_in } = self;
        let load = wild(orders, accounts);
        Search { first, seeds, one_in, load }
    }
}

fn main() -> Result<ExitCode> {
    let Arguments { template, command } = Arguments::parse();
    let deploy = || Deployment::read(&template);
    match command {
        Command::Random(random) => tell(Instant::now(), explore::random(random.search(), &deploy)?),
        Command::Exhaustive { pairs } => {
            let mut codes = ExitCode::SUCCESS;
            for scene in explore::SCENES {
                let code = tell(Instant::now(), explore::exhaustive(scene, pairs, &deploy)?)?;
                if code != ExitCode::SUCCESS {
                    codes = code;
                }
            }
            Ok(codes)
        }
        Command::Edges { small } => edges(small, &Rc::new(deploy()?)),
        Command::Teeth { only, seeds } => teeth(only.as_deref(), seeds, &deploy),
        Command::Replay { seed, random, without } => {
            let without = without.map(|name| guard(&name)).transpose()?;
            let of = explore::of_seed(random.search(), seed, without, true);
            let outcome = run(&Rc::new(deploy()?), of)?;
            for line in &outcome.lines {
                println!("{line}");
            }
            println!("hash {:016x} after {:?}\n{}", outcome.hash, outcome.took, outcome.verdict);
            Ok(code(outcome.verdict.is_good()))
        }
    }
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(started: Instant, found: explore::Found) -> Result<ExitCode> {
    let explore::Found { total, runs, bad } = found;
    for one in &bad {
        println!("WENT WRONG: {one}");
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(total.attempted)?) / seconds;
    println!("{total}{runs} runs in {seconds:.0} s, {rate:.0} orders/s");
    Ok(code(total.is_good()))
}

fn guard(name: &str) -> Result<Guard> {
    let named = |guard: &Guard| format!("{guard:?}").eq_ignore_ascii_case(name);
    Guard::ALL.into_iter().find(named).with_context(|| format!("no guard {name}"))
}

/// What happens seldom.
fn edges(small: bool, deployment: &Rc<Deployment>) -> Result<ExitCode> {
    let crowd = if small { Crowd::SMALL } else { Crowd::WHOLE };
    let mut codes = ExitCode::SUCCESS;
    for (name, edge) in [
        ("messages that are lost, and lost again within five minutes", Edge::LostAgain),
        ("nobody works for fifteen days", Edge::FifteenDays),
        ("a message that nobody can read", Edge::Unreadable),
        ("an account with many jobs", Edge::Crowded(crowd)),
    ] {
        let started = Instant::now();
        let found = edges::tried(deployment, edge)?;
        let Found { outcome, waits } = &found;
        println!("{name}: after {:.0?} of its own time", outcome.took);
        print!("{}", outcome.verdict);
        if let Some([alone, beside]) = waits {
            println!("others without it   {alone}\nothers beside it    {beside}");
        }
        println!("in {:.0?}", started.elapsed());
        if !found.is_good() {
            println!("WENT WRONG: {name}");
            codes = ExitCode::FAILURE;
        }
    }
    Ok(codes)
}

/// Which guards are missed.
fn teeth(only: Option<&str>, seeds: u64, deploy: Deploy<'_>) -> Result<ExitCode> {
    let guards = match only {
        Some(name) => vec![guard(name)?],
        None => Guard::ALL.to_vec(),
    };
    let search = Search { first: 0, seeds, one_in: 40, load: wild(20, 5) };
    let bites = explore::teeth(&guards, search, deploy)?;
    for (guard, noticed) in &bites {
        let name = format!("{guard:?}");
        match noticed {
            Some((seeds, verdict)) => {
                let what = verdict.worst().unwrap_or_default();
                println!("{name:<16} missed after {seeds:>4} seeds: {what}");
            }
            None => println!("{name:<16} NOT MISSED in {seeds} seeds"),
        }
    }
    let noticed = bites.iter().filter(|(_, noticed)| noticed.is_some()).count();
    println!("{noticed} of {} guards are missed when they are taken away", bites.len());
    Ok(code(noticed == bites.len()))
}
