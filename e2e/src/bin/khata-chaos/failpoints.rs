//! Cells of failpoints: a process is stopped, paused or cut off at one point on an account's way (`shared/domain/src/failpoints.rs`),
//! with each kind of gateway whose call the point is about. The programs must be built with the feature `mutants` of
//! `khata-domain`: `make failpoints` does that.
//!
//! The cells of one group and one action follow each other on one stack, and write one history, which `khata-check` judges.

mod cell;
mod table;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::run::{Run, Size, Start};
use cell::Trial;
use table::{ACTIONS, Action, Cell, GROUPS, Group};

/// Stacks that run at the same time: their cells mostly wait.
const AT_ONCE: usize = 5;

/// The cells of one stack.
struct Row {
    group: &'static Group,
    action: Action,
    cells: Vec<&'static Cell>,
}

/// A cell that was tried.
struct Tried {
    cell: &'static Cell,
    /// How long it took.
    result: Result<Duration>,
}

/// The end of a row.
struct Ended {
    group: &'static str,
    action: Action,
    tried: Vec<Tried>,
    /// The counts of `khata-check`, or what is wrong.
    verdict: Result<String>,
}

/// Returns the names of all points.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = GROUPS
        .iter()
        .flat_map(Group::cells)
        .map(|cell| cell.point)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Tries the cells of these points, and prints a table.
pub(crate) fn run(points: &[String], seed: u64) -> ExitCode {
    let began = Instant::now();
    let rows = Mutex::new(rows(points));
    let next = || lock(&rows).pop_front();
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = next() {
                    let row = try_row(&row, seed);
                    row.print();
                    lock(&ended).push(row);
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    print_table(&ended);
    let cells: usize = ended.iter().map(|row| row.tried.len()).sum();
    println!("{cells} cells in {} s", began.elapsed().as_secs());
    if cells > 0 && ended.iter().all(Ended::is_good) {
        println!("khata-chaos: every cell ended right");
        return ExitCode::SUCCESS;
    }
    println!("khata-chaos: broken; try single points again with: make failpoints POINT=…");
    ExitCode::FAILURE
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the rows with cells of these points, the longest first.
fn rows(points: &[String]) -> VecDeque<Row> {
    let is_wanted = |cell: &&Cell| points.iter().any(|point| point == cell.point);
    let of = |action: Action| {
        GROUPS.iter().map(move |group| Row {
            group,
            action,
            cells: group.cells().filter(is_wanted).collect(),
        })
    };
    let mut rows: Vec<Row> = ACTIONS.into_iter().flat_map(of).collect();
    rows.retain(|row| !row.cells.is_empty());
    rows.sort_by_key(|row| std::cmp::Reverse(row.cells.len()));
    rows.into()
}

/// Tries the cells of a row in a runtime of its own: the commands of one stack must not delay another one.
fn try_row(row: &Row, seed: u64) -> Ended {
    let mut tried = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let verdict = match runtime {
        Ok(runtime) => runtime.block_on(try_cells(row, seed, &mut tried)),
        Err(error) => Err(error.into()),
    };
    Ended {
        group: row.group.name,
        action: row.action,
        tried,
        verdict,
    }
}

async fn try_cells(row: &Row, seed: u64, tried: &mut Vec<Tried>) -> Result<String> {
    let start = Start {
        name: row.group.name,
        seed,
        gateways: row.group.gateways,
        failing_webhooks: 0,
        mutant: None,
    };
    let size = Size {
        apis: 1,
        workers: 0,
        clients: 0,
    };
    let mut run = Run::start_with(start, size).await?;
    let folder = run.folder();
    let account = row.group.prepare(&run)?;
    for (number, cell) in row.cells.iter().copied().enumerate() {
        let trial = Trial {
            group: row.group,
            cell,
            action: row.action,
            number,
            account: &account,
        };
        let began = Instant::now();
        let result = trial.run(&mut run).await.map(|()| began.elapsed());
        let has_failed = result.is_err();
        tried.push(Tried { cell, result });
        if has_failed {
            // The next cells would meet the rest of this one.
            break;
        }
    }
    let verdict = run.judge().await;
    if verdict.is_ok() && tried.iter().all(|tried| tried.result.is_ok()) {
        std::fs::remove_dir_all(&folder)?;
    }
    verdict.with_context(|| format!("history and logs are in {}", folder.display()))
}

impl Ended {
    fn is_good(&self) -> bool {
        self.verdict.is_ok() && self.tried.iter().all(|tried| tried.result.is_ok())
    }

    fn print(&self) {
        let (group, action) = (self.group, self.action.word());
        for tried in &self.tried {
            if let Err(error) = &tried.result {
                println!("  {group:<10} {action:<5} {}: {error:#}", tried.cell.point);
            }
        }
        match &self.verdict {
            Ok(figures) => println!("  {group:<10} {action:<5} held    {figures}"),
            Err(error) => println!("  {group:<10} {action:<5} BROKEN  {error:#}"),
        }
    }
}

/// Prints a line for each point of a group, with the seconds that each action took.
fn print_table(rows: &[Ended]) {
    print!("  {:<32} {:<7} {:<10}", "failpoint", "process", "group");
    for action in ACTIONS {
        print!(" {:>7}", action.word());
    }
    println!();
    for group in &GROUPS {
        for cell in group.cells() {
            let of = |action: Action| {
                let row = rows
                    .iter()
                    .find(|row| row.group == group.name && row.action == action)?;
                let mut tried = row.tried.iter();
                let tried = tried.find(|tried| tried.cell.point == cell.point)?;
                Some(match (&tried.result, &row.verdict) {
                    (Ok(took), Ok(_)) => format!("{} s", took.as_secs()),
                    (Ok(_), Err(_)) => "BROKEN".to_owned(),
                    (Err(_), _) => "FAILED".to_owned(),
                })
            };
            let results = ACTIONS.map(of);
            if results.iter().all(Option::is_none) {
                continue;
            }
            let program = cell.program.word();
            print!("  {:<32} {program:<7} {:<10}", cell.point, group.name);
            for result in results {
                print!(" {:>7}", result.as_deref().unwrap_or("–"));
            }
            println!();
        }
    }
}
