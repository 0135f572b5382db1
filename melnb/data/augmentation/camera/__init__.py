"""Camera: light, lens, program and file.

    colour        brightness, contrast, saturation, hue; autocontrast, sharpness
    filters       blur and noise
    equalisation  CLAHE
    constancy     colours as under white light
    compression   JPEG

The room's law: colours change, and no pixel moves.
"""
