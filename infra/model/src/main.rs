//! The command line of the model test.

use std::{path::PathBuf, process::ExitCode, rc::Rc, time::Instant};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;
use spelter::guards::Guard;

use crash_model::{
    again::{self, Again, Size, Strike},
    edges::{self, Crowd, Edge, Found},
    explore::{self, Deploy, SCENES, Search},
    platform::Deployment,
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
        /// Only these scenes, from 0.
        #[arg(long)]
        scene: Vec<usize>,
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
        size: HowMuch,
        /// Without this guard.
        #[arg(long)]
        without: Option<String>,
    },
    /// A run of the exhaustive search again, with all that happens.
    ReplayFaults {
        /// Which scene, from 0.
        #[arg(long)]
        scene: usize,
        /// What goes wrong at which call: `12:CrashAfter`.
        #[arg(long)]
        fault: Vec<Strike>,
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
    #[command(flatten)]
    size: HowMuch,
}

#[derive(Args, Clone, Copy)]
struct HowMuch {
    /// Orders in each run.
    #[arg(long, default_value_t = 100)]
    orders: usize,
    /// Accounts in each run.
    #[arg(long, default_value_t = 5)]
    accounts: usize,
    /// A fault strikes at one call in so many.
    #[arg(long, default_value_t = 100)]
    one_in: u32,
    /// Now and then a job becomes a dead letter.
    #[arg(long)]
    buries: bool,
}

impl From<HowMuch> for Size {
    fn from(HowMuch { orders, accounts, one_in, buries }: HowMuch) -> Self {
        Self { orders, accounts, one_in, buries }
    }
}

fn main() -> Result<ExitCode> {
    let Arguments { template, command } = Arguments::parse();
    let deploy = || Deployment::read(&template);
    match command {
        Command::Random(Random { seeds, first, size }) => {
            let search = Search { first, seeds, size: size.into() };
            tell(Instant::now(), explore::random(search, &deploy)?)
        }
        Command::Exhaustive { pairs, scene } => {
            let mut codes = ExitCode::SUCCESS;
            let all = || (0..SCENES.len()).collect();
            for number in if scene.is_empty() { all() } else { scene } {
                let code = tell(Instant::now(), explore::exhaustive(number, pairs, &deploy)?)?;
                if code != ExitCode::SUCCESS {
                    codes = code;
                }
            }
            Ok(codes)
        }
        Command::Edges { small } => edges(small, &deploy),
        Command::Teeth { only, seeds } => teeth(only.as_deref(), seeds, &deploy),
        Command::Replay { seed, size, without } => {
            let without = without.map(|name| guard(&name)).transpose()?;
            replay(&Again::Seed { seed, size: size.into(), without }, &deploy)
        }
        Command::ReplayFaults { scene, fault } => {
            replay(&Again::Scene { number: scene, faults: fault }, &deploy)
        }
    }
}

fn replay(again: &Again, deploy: Deploy<'_>) -> Result<ExitCode> {
    let outcome = again.attempt(&Rc::new(deploy()?), true)?;
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("hash {:016x} after {:?}\n{}", outcome.hash, outcome.took, outcome.verdict);
    Ok(code(outcome.verdict.is_good()))
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(started: Instant, found: explore::Found) -> Result<ExitCode> {
    let explore::Found { total, runs, hash, buried, bad } = found;
    for one in &bad {
        println!("WENT WRONG: {one}");
    }
    for (state, count) in buried {
        println!("{count} jobs became dead letters while {state}");
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(total.attempted)?) / seconds;
    println!("{total}{runs} runs in {seconds:.0} s, {rate:.0} orders/s, hash {hash:016x}");
    Ok(code(total.is_good()))
}

fn guard(name: &str) -> Result<Guard> {
    let named = |guard: &Guard| format!("{guard:?}").eq_ignore_ascii_case(name);
    Guard::ALL.into_iter().find(named).with_context(|| format!("no guard {name}"))
}

/// What happens seldom.
fn edges(small: bool, deploy: Deploy<'_>) -> Result<ExitCode> {
    let crowd = if small { Crowd::SMALL } else { Crowd::WHOLE };
    let deployment = Rc::new(deploy()?);
    let mut codes = ExitCode::SUCCESS;
    for (name, edge) in [
        ("messages that are lost", Edge::LOST),
        ("messages that are lost, and lost again within five minutes", Edge::LOST_AGAIN),
        ("nobody works for fifteen days", Edge::FifteenDays),
        ("a message that nobody can read", Edge::Unreadable),
        ("an account with many jobs", Edge::Crowded(crowd)),
    ] {
        let started = Instant::now();
        let found = edges::tried(&deployment, edge, false)?;
        let Found { outcome, waits } = &found;
        println!("{name}: after {:.0?} of its own time", outcome.took);
        print!("{}", outcome.verdict);
        if let Some([alone, beside]) = waits {
            println!("others without it   {alone}\nothers beside it    {beside}");
        }
        println!("in {:.0?}", started.elapsed());
        let faults = found.faults();
        if !faults.is_empty() {
            println!("WENT WRONG: {name}: {}", faults.join(", "));
            let lines = edges::tried(&deployment, edge, true)?.outcome.lines;
            let path = again::write_down(&name.replace([' ', ','], "-"), &lines)?;
            println!("  all that happened: {}", path.display());
            codes = ExitCode::FAILURE;
        }
    }
    println!("jobs that become dead letters while their orders are worked on");
    let size = Size { orders: 30, accounts: 5, one_in: 60, buries: true };
    let search = Search { first: 0, seeds: if small { 4 } else { 500 }, size };
    let buried = tell(Instant::now(), explore::random(search, deploy)?)?;
    Ok(if codes == ExitCode::SUCCESS { buried } else { codes })
}

/// Which guards are missed.
fn teeth(only: Option<&str>, seeds: u64, deploy: Deploy<'_>) -> Result<ExitCode> {
    let guards = match only {
        Some(name) => vec![guard(name)?],
        None => Guard::ALL.to_vec(),
    };
    let search = Search {
        first: 0,
        seeds,
        size: Size { orders: 20, accounts: 5, one_in: 40, buries: false },
    };
    let bites = explore::teeth(&guards, search, deploy)?;
    for (guard, noticed) in &bites {
        let name = format!("{guard:?}");
        match noticed {
            Some((seeds, found)) => {
                println!("{name:<16} missed after {seeds:>4} seeds: {found}");
            }
            None => println!("{name:<16} NOT MISSED in {seeds} seeds"),
        }
    }
    let noticed = bites.iter().filter(|(_, noticed)| noticed.is_some()).count();
    println!("{noticed} of {} guards are missed when they are taken away", bites.len());
    Ok(code(noticed == bites.len()))
}
