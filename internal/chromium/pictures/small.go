package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"
)

// colors is what a picture may have: those of a PNG with one byte a pixel.
const colors = 256

// small writes the picture with at most 256 colours, all others as the nearest of them. A page has few, and edges of letters
// in between; nobody sees the difference, and the file is less than half.
func small(data []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	size := from.Bounds()
	counts := map[color.RGBA]int{}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			counts[rgba(from, x, y)]++
		}
	}
	to := image.NewPaletted(size, palette(counts))
	index := make(map[color.RGBA]uint8, len(counts))
	for c := range counts {
		index[c] = uint8(to.Palette.Index(c)) //nolint:gosec // below 256
	}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			to.SetColorIndex(x, y, index[rgba(from, x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

func rgba(i image.Image, x, y int) color.RGBA {
	c, ok := color.RGBAModel.Convert(i.At(x, y)).(color.RGBA)
	if !ok {
		panic("the model of RGBA makes RGBA")
	}
	return c
}

// frequent is how many colours are taken for being frequent only; the others must be unlike those that are there. A small
// mark has few pixels, but its colour is what it says.
const frequent = 64

// palette is the most frequent colours, then again and again the one that is shown worst by those before: its distance from
// them counts more than how often it is there. Equal pictures get equal palettes.
func palette(counts map[color.RGBA]int) color.Palette {
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return order(a) - order(b)
	})
	var p color.Palette
	nearest := make([]float64, len(all)) // squared distance of each colour from the palette
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	for len(p) < min(len(all), colors) {
		next := len(p)
		if next >= frequent {
			next = worst(all, nearest, counts)
		}
		p = append(p, all[next])
		for i, c := range all {
			nearest[i] = min(nearest[i], distance(c, all[next]))
		}
	}
	return p
}

func worst(all []color.RGBA, nearest []float64, counts map[color.RGBA]int) int {
	found, most := 0, -1.0
	for i, c := range all {
		if w := nearest[i] * math.Sqrt(float64(counts[c])); w > most {
			found, most = i, w
		}
	}
	return found
}

func distance(a, b color.RGBA) float64 {
	r, g, l := float64(a.R)-float64(b.R), float64(a.G)-float64(b.G), float64(a.B)-float64(b.B)
	return r*r + g*g + l*l
}

func order(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
