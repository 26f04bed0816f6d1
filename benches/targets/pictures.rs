//! The pictures: all from the data of this run.

use std::{error::Error, path::Path, time::Duration};

use plotters::prelude::*;
use tower_oauth_benches::refresh::Latencies;

type Drawn = Result<(), Box<dyn Error>>;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);
const FONT: &str = "sans-serif";

/// Lying bars, one per name, in this order from above.
pub fn bars(path: &Path, title: &str, unit: &str, bars: &[(String, f64, bool)]) -> Drawn {
    let height = 70 + 30 * u32::try_from(bars.len())?;
    let root = SVGBackend::new(path, (760, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let most = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    let rows = i32::try_from(bars.len())?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 17))
        .margin(8)
        .set_label_area_size(LabelAreaPosition::Left, 190)
        .build_cartesian_2d(0.0..most * 1.18, (0..rows).into_segmented())?;
    chart.configure_mesh().disable_mesh().disable_axes().draw()?;
    for (row, (name, value, ours)) in bars.iter().rev().enumerate() {
        let row = i32::try_from(row)?;
        let color = if *ours { OURS } else { OTHERS };
        let mut bar = Rectangle::new(
            [(0.0, SegmentValue::Exact(row)), (*value, SegmentValue::Exact(row + 1))],
            color.filled(),
        );
        bar.set_margin(4, 4, 0, 0);
        chart.draw_series([bar])?;
        let (_, y) = chart.backend_coord(&(0.0, SegmentValue::CenterOf(row)));
        let (x, _) = chart.backend_coord(&(*value, SegmentValue::CenterOf(row)));
        let style = (FONT, 13).into_font().color(&BLACK);
        root.draw_text(name, &style, (12, y - 6))?;
        let value = format!("{} {unit}", crate::row::number(*value));
        root.draw_text(&value, &style, (x + 6, y - 6))?;
    }
    root.present()?;
    Ok(())
}

/// Which share of the requests waited how long at most. Both axes are stretched towards what is
/// rare, where the difference is.
pub fn latencies(path: &Path, title: &str, lines: &[(&str, &Latencies, bool)]) -> Drawn {
    let root = SVGBackend::new(path, (760, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let micros = |latency: Duration| (latency.as_secs_f64() * 1e6).max(0.1);
    let most = lines.iter().map(|line| micros(line.1.quantile(1.0))).fold(10.0, f64::max);
    // 1, 2, 3 ... for 90 %, 99 %, 99.9 % ...
    const NINES: f64 = 4.0;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 17))
        .margin(12)
        .set_label_area_size(LabelAreaPosition::Left, 70)
        .set_label_area_size(LabelAreaPosition::Bottom, 45)
        .build_cartesian_2d(0.0..NINES, (0.1..most * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("share of the requests")
        .y_desc("waited at most, µs")
        .x_labels(5)
        .x_label_formatter(&|nines| format!("{} %", (1.0 - 10_f64.powf(-nines)) * 100.0))
        .label_style((FONT, 13))
        .light_line_style(WHITE)
        .draw()?;
    for (name, latencies, ours) in lines {
        let color = if *ours { OURS } else { OTHERS };
        let points = (0..=200).map(|n| {
            let nines = NINES * f64::from(n) / 200.0;
            (nines, micros(latencies.quantile(1.0 - 10_f64.powf(-nines))))
        });
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(3)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 13))
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}
