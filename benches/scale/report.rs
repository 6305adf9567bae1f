//! What the runs came to: tables for the terminal, and plots.

use super::market::{BLOCK, CALM};
use super::plot::{COLOURS, FIRST, Panel, Plot};
use super::sim::{Found, SAMPLE};
use super::{AFTERWARDS, COMING, HOUR, Scenario};

/// Dollars for an ether, as assumed.
const ETHER: f64 = 3_000.0;

type Grid<'a> = [(&'a str, [(u64, Found); 6])];

fn dollars(base_units: u128) -> f64 {
    base_units as f64 / 1e6
}

fn gas_dollars(wei: u128) -> f64 {
    wei as f64 / 1e18 * ETHER
}

/// Cents of gas for a dollar collected.
fn cents_per_dollar(wei: u128, found: &Found) -> f64 {
    if found.collected == 0 { 0.0 } else { 100.0 * gas_dollars(wei) / dollars(found.collected) }
}

pub(crate) fn table(scenario: &Scenario, found: &[(&str, Found)]) -> String {
    let mut text = format!("{} payers, {} hours", scenario.payers.len(), scenario.seconds / HOUR);
    for spike in &scenario.market.spikes {
        let dearer = scenario.market.base_fee((spike.start + spike.end) / 2 / BLOCK) / CALM;
        text += &format!("; spike at hour {} of {} minutes, {dearer} times", spike.start / HOUR, (spike.end - spike.start) / 60);
    }
    text += "\n\n";
    text += "| policy | sold, $ | collected, $ | lost, $ | left, $ | transactions | gas, $ | of it in spikes | gas, ¢ per $ | gas units per $ | at risk: mean, $ | most, $ | reopened |\n";
    text += "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for (name, found) in found {
        let in_spikes = if found.wei == 0 { 0.0 } else { 100.0 * found.wei_in_spikes as f64 / found.wei as f64 };
        text += &format!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.2} | {in_spikes:.0} % | {:.2} | {:.0} | {:.2} | {:.2} | {} |\n",
            dollars(found.sold),
            dollars(found.collected),
            dollars(found.lost),
            dollars(found.left),
            found.transactions,
            gas_dollars(found.wei),
            cents_per_dollar(found.wei, found),
            found.gas as f64 / dollars(found.collected).max(0.01),
            dollars(found.mean_risk()),
            dollars(found.most_at_risk()),
            found.reopened,
        );
    }
    text
}

pub(crate) fn grid_table(grid: &Grid<'_>) -> String {
    let mut text = String::from("| settleAfter | settleAmount, $ | gas, ¢ per $ | at risk: mean, $ |\n|---|---:|---:|---:|\n");
    for (after, row) in grid {
        for (amount, found) in row {
            let amount = *amount as f64 / 100.0;
            let (gas, risk) = (cents_per_dollar(found.wei, found), dollars(found.mean_risk()));
            text += &format!("| {after} | {amount:.2} | {gas:.2} | {risk:.2} |\n");
        }
    }
    text
}

/// What gas and what is left lying come to, in cents for a dollar sold.
fn costs(found: &Found) -> (f64, f64) {
    let sold = dollars(found.sold).max(0.01);
    (100.0 * gas_dollars(found.wei) / sold, 100.0 * dollars(found.left + found.lost) / sold)
}

pub(crate) fn minimum_table(minimums: &[(u64, Found)]) -> String {
    let mut text =
        String::from("| settleMinimum, ¢ | gas, ¢ per $ sold | left, ¢ per $ sold | at risk: mean, $ |\n|---:|---:|---:|---:|\n");
    for (minimum, found) in minimums {
        let (gas, left) = costs(found);
        text += &format!("| {minimum} | {gas:.2} | {left:.2} | {:.2} |\n", dollars(found.mean_risk()));
    }
    text
}

/// What a minimum saves in gas, and what it leaves lying.
pub(crate) fn minimum(minimums: &[(u64, Found)]) -> String {
    let rows = minimums.len();
    let most = minimums.iter().map(|(_, found)| costs(found)).map(|(gas, left)| gas + left).fold(0.1, f64::max) * 1.25;
    let mut plot = Plot::new("What settleMinimum saves and leaves, in cents for a dollar sold", 90.0 + 36.0 * rows as f64);
    let panel = Panel { top: FIRST + 10.0, height: 36.0 * rows as f64, x: (0.0, most), y: (0.0, 1.0), logarithmic: (false, false) };
    plot.axes(&panel, "", &ticks(steps(most), |value| format!("{value:.0} ¢")), &[]);
    for (row, (minimum, found)) in minimums.iter().enumerate() {
        let (gas, left) = costs(found);
        plot.bar(&panel, (row, rows), 0.0, gas, COLOURS[1]);
        plot.bar(&panel, (row, rows), gas, gas + left, COLOURS[4]);
        let middle = 1.0 - (row as f64 + 0.5) / rows as f64;
        plot.name(&panel, (gas + left, middle - 0.05), &format!("at least {minimum} ¢: {:.1} ¢", gas + left));
    }
    plot.legend(0, COLOURS[1], "gas");
    plot.legend(1, COLOURS[4], "never collected");
    plot.svg()
}

fn ticks(values: impl IntoIterator<Item = f64>, name: impl Fn(f64) -> String) -> Vec<(f64, String)> {
    values.into_iter().map(|value| (value, name(value))).collect()
}

/// Round steps up to `most`, about five of them.
fn steps(most: f64) -> Vec<f64> {
    let rough = most / 5.0;
    let mut step = 1e-3;
    while step * 10.0 <= rough {
        step *= 10.0;
    }
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * step).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    (0..=6).map(|index| f64::from(index) * step).filter(|value| *value <= most).collect()
}

/// Money at risk over time, above what gas costs meanwhile.
pub(crate) fn risk(scenario: &Scenario, found: &[(&str, Found)]) -> String {
    let hours = scenario.seconds as f64 / HOUR as f64;
    let most = found.iter().map(|(_, found)| dollars(found.most_at_risk())).fold(1.0, f64::max) * 1.05;
    let mut plot = Plot::new("Money at risk: sold and not yet on chain", 520.0);
    let upper = Panel { top: FIRST + 10.0, height: 280.0, x: (0.0, hours), y: (0.0, most), logarithmic: (false, false) };
    let lower = Panel { top: FIRST + 340.0, height: 80.0, x: (0.0, hours), y: (0.01, 10.0), logarithmic: (false, true) };
    let times = || ticks((0..).map(|day| f64::from(day) * 12.0).take_while(|hour| *hour <= hours), |hour| format!("{hour:.0} h"));
    for panel in [&upper, &lower] {
        for spike in &scenario.market.spikes {
            plot.shade(panel, spike.start as f64 / HOUR as f64, spike.end as f64 / HOUR as f64);
        }
    }
    plot.axes(&upper, "dollars (shaded: fees have spiked)", &times(), &ticks(steps(most), |value| format!("{value:.0}")));
    plot.axes(&lower, "base fee, gwei", &times(), &ticks([0.01, 0.1, 1.0, 10.0], |value| format!("{value}")));
    for (index, (name, found)) in found.iter().enumerate() {
        let hour = |sample: usize| sample as f64 * SAMPLE as f64 / HOUR as f64;
        let points: Vec<_> = found.risk.iter().enumerate().map(|(sample, risk)| (hour(sample), dollars(*risk))).collect();
        plot.curve(&upper, &points, COLOURS[index % COLOURS.len()], false);
        plot.legend(index, COLOURS[index % COLOURS.len()], name);
    }
    let fees: Vec<_> = (0..scenario.seconds)
        .step_by(usize::try_from(SAMPLE / 3).unwrap())
        .map(|second| (second as f64 / HOUR as f64, scenario.market.base_fee(second / BLOCK) as f64 / 1e9))
        .collect();
    plot.curve(&lower, &fees, "#555", false);
    plot.svg()
}

/// What a dollar costs to collect, by policy: in calm, and in spikes.
pub(crate) fn gas(found: &[(&str, Found)]) -> String {
    let most = found.iter().map(|(_, found)| cents_per_dollar(found.wei, found)).fold(0.1, f64::max) * 1.5;
    let rows = found.len();
    let mut plot = Plot::new("Gas for a dollar collected, in cents", 90.0 + 44.0 * rows as f64);
    let panel = Panel { top: FIRST + 10.0, height: 44.0 * rows as f64, x: (0.0, most), y: (0.0, 1.0), logarithmic: (false, false) };
    plot.axes(&panel, "", &ticks(steps(most), |value| format!("{value:.1} ¢")), &[]);
    for (row, (name, found)) in found.iter().enumerate() {
        let calm = cents_per_dollar(found.wei - found.wei_in_spikes, found);
        let all = cents_per_dollar(found.wei, found);
        plot.bar(&panel, (row, rows), 0.0, calm, COLOURS[0]);
        plot.bar(&panel, (row, rows), calm, all, COLOURS[1]);
        let middle = 1.0 - (row as f64 + 0.5) / rows as f64;
        plot.name(&panel, (all, middle - 0.06), &format!("{name}: {all:.2} ¢"));
    }
    let calm = CALM as f64 / 1e9;
    plot.legend(0, COLOURS[0], &format!("in calm ({calm} gwei)"));
    plot.legend(1, COLOURS[1], "in spikes");
    plot.svg()
}

/// What less risk costs.
pub(crate) fn frontier(grid: &Grid<'_>) -> String {
    let all = || grid.iter().flat_map(|(_, row)| row).map(|(_, found)| found);
    let gas = |found: &Found| cents_per_dollar(found.wei, found);
    let risks: Vec<f64> = all().map(|found| dollars(found.mean_risk())).collect();
    let (least, most) = (risks.iter().copied().fold(f64::MAX, f64::min), risks.iter().copied().fold(0.0, f64::max));
    let dearest = all().map(gas).fold(0.1, f64::max) * 1.1;
    let mut plot = Plot::new("What less risk costs, by settleAmount (dots) and settleAfter (curves)", 440.0);
    let panel = Panel { top: FIRST + 10.0, height: 320.0, x: (least * 0.8, most * 1.25), y: (0.0, dearest), logarithmic: (true, false) };
    let marks = [1.0, 2.0, 5.0].into_iter().flat_map(|times| [0.1, 1.0, 10.0, 100.0, 1_000.0].map(|power| times * power));
    let marks = marks.filter(|value| panel.x.0 <= *value && *value <= panel.x.1);
    let x = ticks(marks, |value| format!("${value}"));
    plot.axes(&panel, "gas, cents for a dollar collected", &x, &ticks(steps(dearest), |value| format!("{value:.1}")));
    plot.text(360.0, 430.0, "middle", &format!("money at risk, mean of {} hours", (COMING + AFTERWARDS) / HOUR));
    for (index, (after, row)) in grid.iter().enumerate() {
        let points: Vec<_> = row.iter().map(|(_, found)| (dollars(found.mean_risk()), gas(found))).collect();
        plot.curve(&panel, &points, COLOURS[index], true);
        plot.legend(index, COLOURS[index], &format!("after {after}"));
        if index + 1 == grid.len() {
            for ((amount, _), point) in row.iter().zip(&points).take(5) {
                plot.name(&panel, *point, &format!("${}", *amount as f64 / 100.0));
            }
        }
    }
    plot.svg()
}
