"""Files that pynwb writes today, with the names that neuroconv and MatNWB use."""

from datetime import UTC, datetime

import numpy as np
import pytest

from omnimouse_cli.recording.nwb.session import open_session
from omnimouse_cli.recording.options import OpenOptions

pytest.importorskip("pynwb")


@pytest.mark.filterwarnings("default")
def test_two_planes_as_neuroconv_writes_them(tmp_path):
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.behavior import (
        BehavioralTimeSeries,
        EyeTracking,
        PupilTracking,
        SpatialSeries,
    )
    from pynwb.file import Subject
    from pynwb.ophys import (
        Fluorescence,
        ImageSegmentation,
        OpticalChannel,
        RoiResponseSeries,
    )

    file = NWBFile(
        session_description="test",
        identifier="x",
        session_start_time=datetime(2024, 3, 5, 10, tzinfo=UTC),
        session_id="2024-03-05",
        institution="A University",
        subject=Subject(subject_id="m7", species="Mus musculus", age="P90D", sex="F"),
    )
    device = file.create_device("microscope")
    ophys = file.create_processing_module("ophys", "optical physiology")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    fluorescence = Fluorescence()
    ophys.add(fluorescence)
    rng = np.random.default_rng(0)
    expected = []
    for number in range(2):
        plane = file.create_imaging_plane(
            name=f"ImagingPlane{number}",
            optical_channel=OpticalChannel(name="c", description="c", emission_lambda=520.0),
            description="a plane",
            device=device,
            excitation_lambda=920.0,
            indicator="GCaMP6s",
            location="V1",
            grid_spacing=[2.0, 2.0],
            grid_spacing_unit="micrometers",
            origin_coords=[0.0, 0.0, 100.0 + number],
            origin_coords_unit="micrometers",
        )
        table = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentation{number}", description="ROIs", imaging_plane=plane
        )
        table.add_column("Accepted", "whether it is a cell")
        table.add_column("Rejected", "whether it is none")
        for row in range(4):
            table.add_roi(
                pixel_mask=[(row, 1, 1.0), (row, 3, 1.0)], Accepted=row != 2, Rejected=row == 2
            )
        for name, role in (
            ("", 100.0),
            ("Denoised", 10.0),
            ("Neuropil", 5.0),
            ("Deconvolved", 0.0),
        ):
            data = rng.gamma(2.0, size=(60, 4)).astype(np.float32) + role
            fluorescence.add_roi_response_series(
                RoiResponseSeries(
                    name=f"{name or 'RoiResponseSeries'}Plane{number}",
                    data=data,
                    rois=table.create_roi_table_region(region=[3, 2, 1, 0], description="all"),
                    unit="n.a.",
                    starting_time=0.5,
                    rate=15.0,
                )
            )
        expected.append(data[:, [0, 2, 3]])
    behavior = file.create_processing_module("behavior", "behavior")
    times = np.arange(120) / 30
    metres = rng.gamma(2.0, 0.1, 120)
    speed = TimeSeries(name="running_speed", data=metres, unit="m/s", timestamps=times)
    behavior.add(BehavioralTimeSeries(time_series=speed))
    diameter = TimeSeries(
        name="pupil_diameter", data=np.full(120, 0.8), unit="mm", timestamps=times
    )
    behavior.add(PupilTracking(time_series=diameter))
    gaze = SpatialSeries(
        name="gaze",
        data=rng.normal(size=(120, 2)),
        reference_frame="x, y on the monitor",
        unit="degrees",
        timestamps=diameter,
    )
    behavior.add(EyeTracking(spatial_series=gaze))
    path = tmp_path / "sub-m7_ses-2024-03-05.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(file)

    recording = open_session(path, OpenOptions())
    assert (recording.session, recording.animal) == ("m7-2024-03-05", "m7")
    assert set(recording.neurons.area) == {"V1"}
    assert recording.response_kind == "rate"
    assert recording.responses.clock.rate_hz == 15.0
    np.testing.assert_array_equal(
        recording.responses.read_rows(0, 60), np.concatenate(expected, axis=1)
    )
    assert recording.provenance.excluded == {"`Accepted` is false": 2}
    positions = recording.neurons.position_um
    np.testing.assert_allclose(positions[:3], [[6, 4, 100], [2, 4, 100], [0, 4, 100]])
    eye, treadmill = recording.behavior
    assert eye.channels == ("pupil_x", "pupil_y", "pupil_size")
    assert eye.units == ("degrees", "degrees", "mm")
    np.testing.assert_allclose(treadmill.read_rows(0, 120)[:, 0], metres * 100, rtol=1e-6)
