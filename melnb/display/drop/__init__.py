"""The drop room: what does a model say of a new picture?

The room's law: what is said is what the page of 04c_look says, cut out of it; nothing is computed
here, and nothing heavy is imported before a picture is there.

    picture_drop  pictures kept, asked about and answered: the state, and its widget

The page's module is drop.js: it sends pictures in parts and shows the answers.
"""
